import { type Dirent, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Candidate } from "./candidates.ts";

/** More names than this are of no use to anybody. */
const MAX_NAMES = 2000;

/**
 * Paths that begin with a word; directories end with '/'. Names that begin with a dot have to be begun.
 * @param onlyDirectories leaves out everything else.
 */
export function findPaths(word: string, onlyDirectories: boolean): Candidate[] {
  const slash = word.lastIndexOf("/") + 1;
  const start = word.slice(0, slash);
  const name = word.slice(slash);
  const candidates: Candidate[] = [];
  for (const entry of entriesOf(start === "" ? "." : start)) {
    const isWanted = entry.name.startsWith(name) && (name !== "" || !entry.name.startsWith("."));
    // A shell reads one candidate a line.
    if (!isWanted || /[\n\r]/.test(entry.name)) continue;
    const isDirectory =
      entry.isDirectory() || (entry.isSymbolicLink() && leadsToDirectory(join(start, entry.name)));
    if (isDirectory) candidates.push({ value: `${start}${entry.name}/` });
    else if (!onlyDirectories) candidates.push({ value: start + entry.name });
    if (candidates.length === MAX_NAMES) break;
  }
  return candidates.sort((a, b) => (a.value < b.value ? -1 : 1));
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    // What can't be read has nothing to offer.
    return [];
  }
}

function leadsToDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
