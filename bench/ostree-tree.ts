import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** As runtime/org.gnome.Platform/x86_64/50 of Flathub has them: with one for metadata and the commit itself. */
const FILES = 16_288;
const METADATA = 2_752;
const DIRECTORIES = METADATA - 2;
/** Directories in a directory. */
const BRANCHES = 6;
/** Larger files of /usr are left out, and smaller ones up to the first size, so that it is about 1 GB. */
const MIN_BYTES = 5_000;
const MAX_BYTES = 3_000_000;
const CHANGED = 50;

/**
 * Copies files of this machine's /usr, no content twice, into as many directories as the runtime has. Another process
 * does: the memory of this one would count for what it measures later.
 */
export function makeTree(tree: string): void {
  inProcess("make", tree);
}

/** Gives some files another content. */
export function changeTree(tree: string): void {
  inProcess("change", tree);
}

function inProcess(what: string, tree: string): void {
  const { success } = Bun.spawnSync([process.execPath, import.meta.path, what, tree], { stderr: "inherit" });
  if (!success) throw new Error(`${tree} could not be made`);
}

function copyFiles(tree: string): void {
  const directories = directoriesOf(tree);
  for (const directory of directories) mkdirSync(directory, { recursive: true });
  const seen = new Set<string>();
  for (const path of filesOfUsr()) {
    if (seen.size === FILES) return;
    const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
    if (seen.has(digest)) continue;
    const to = join(directories[seen.size % DIRECTORIES]!, `file-${seen.size}`);
    copyFileSync(path, to);
    seen.add(digest);
  }
  throw new Error(`/usr has only ${seen.size} different files of a fitting size`);
}

function changeFiles(tree: string): void {
  const directories = directoriesOf(tree);
  for (let i = 0; i < CHANGED; i++) {
    const path = join(directories[i]!, `file-${i}`);
    const mode = statSync(path).mode;
    writeFileSync(path, Buffer.concat([Buffer.from(`changed ${i}\n`), readFileSync(path)]), { mode });
  }
}

function directoriesOf(tree: string): string[] {
  const directories = [tree];
  for (let i = 1; i < DIRECTORIES; i++)
    directories.push(join(directories[Math.floor((i - 1) / BRANCHES)]!, `directory-${i}`));
  return directories;
}

function filesOfUsr(): string[] {
  const { stdout } = Bun.spawnSync(
    ["find", "/usr", "-xdev", "-type", "f", "-size", `+${MIN_BYTES}c`, "-size", `-${MAX_BYTES}c`, "-print0"],
    { maxBuffer: 1 << 30 },
  );
  const files = stdout.toString("utf8").split("\0").slice(0, -1).sort();
  // from all over, not the first ones
  const step = Math.max(1, Math.floor(files.length / (FILES * 1.5)));
  const order = Array.from({ length: step }, (_, first) => files.filter((_, i) => i % step === first));
  return order.flat();
}

if (import.meta.main) {
  const [what, tree] = process.argv.slice(2);
  if (what === "make") copyFiles(tree!);
  else changeFiles(tree!);
}
