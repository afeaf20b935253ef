import { type ByteString, display, fromText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { DirectoryEntry, DirTree, FileEntry } from "./objects.ts";

/** What is wanted of a directory: all of it, or some of its entries, and of each of these a part in turn. */
export type Part = "all" | SomeEntries;

interface SomeEntries {
  /** Of the directory; empty for the root. */
  readonly path: string;
  readonly entries: Map<ByteString, Part>;
}

/** A directory's entry that is wanted, and how much of it. */
export interface WantedDirectory extends DirectoryEntry {
  readonly part: Part;
}

/** Some paths of a tree, each with everything below it. */
export class Subpaths {
  /** Absolute, sorted, none of them below another one. */
  readonly paths: readonly string[];
  /** What is wanted of the root. */
  readonly top: Part;

  private constructor(paths: readonly string[]) {
    this.paths = paths;
    this.top = partOf(paths);
  }

  /**
   * @param texts paths in the tree, with or without a slash in front.
   * @returns undefined when one of them is that of the whole tree, or there are none.
   * @throws CfsError Invalid
   */
  static parse(texts: readonly string[]): Subpaths | undefined {
    const paths = [...new Set(texts.map(normalised))].sort();
    const isCovered = (path: string) =>
      paths.some((other) => other !== path && path.startsWith(other === "/" ? "/" : `${other}/`));
    const least = paths.filter((path) => !isCovered(path));
    return least.length === 0 || least[0] === "/" ? undefined : new Subpaths(least);
  }

  /** These and others. */
  with(others: Subpaths): Subpaths {
    return Subpaths.parse([...this.paths, ...others.paths])!;
  }

  equals({ paths }: Subpaths): boolean {
    return paths.length === this.paths.length && paths.every((path, i) => path === this.paths[i]);
  }
}

function normalised(text: string): string {
  const names = text.split("/").filter((name) => name !== "" && name !== ".");
  if (text === "" || names.includes("..") || text.includes("\0"))
    throw new CfsError("Invalid", `'${text}' is no path within a commit`, {
      hint: "it begins at the root of the tree, such as /usr/share",
    });
  return `/${names.join("/")}`;
}

function partOf(paths: readonly string[]): Part {
  const top: SomeEntries = { path: "", entries: new Map() };
  for (const path of paths) {
    const names = path.slice(1).split("/");
    const last = names.pop()!;
    let part = top;
    for (const name of names) {
      let next = part.entries.get(fromText(name));
      if (next === undefined || next === "all") {
        next = { path: `${part.path}/${name}`, entries: new Map() };
        part.entries.set(fromText(name), next);
      }
      part = next;
    }
    part.entries.set(fromText(last), "all");
  }
  return top;
}

/** What is wanted of an entry of a directory of which a part is wanted; undefined when it is nothing. */
export function partOfEntry(part: Part, name: ByteString): Part | undefined {
  return part === "all" ? "all" : part.entries.get(name);
}

/** @throws CfsError NotFound when something that is wanted of a directory is not among what was found. */
export function expectEntries(part: Part, isFound: (name: ByteString) => boolean): void {
  if (part === "all") return;
  for (const name of part.entries.keys()) {
    if (!isFound(name)) throw new CfsError("NotFound", `the commit has no ${part.path}/${display(name)}`);
  }
}

/**
 * The entries of a directory that are wanted.
 * @throws CfsError NotFound when one of them is not there
 */
export function selectEntries(
  { files, directories }: DirTree,
  part: Part,
): { readonly files: readonly FileEntry[]; readonly directories: readonly WantedDirectory[] } {
  const found = {
    files: files.filter(({ name }) => partOfEntry(part, name) === "all"),
    directories: directories.flatMap((entry): WantedDirectory[] => {
      const wanted = partOfEntry(part, entry.name);
      return wanted === undefined ? [] : [{ ...entry, part: wanted }];
    }),
  };
  const names = new Set([...found.files, ...found.directories].map(({ name }) => name));
  expectEntries(part, (name) => names.has(name));
  return found;
}
