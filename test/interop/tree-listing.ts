import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { join } from "node:path";

/** Runs a program. @returns its stdout */
export function command(...argv: string[]): string {
  const result = Bun.spawnSync(argv, { stdout: "pipe", stderr: "pipe" });
  if (!result.success) throw new Error(`${argv.join(" ")}: ${result.stdout}${result.stderr}`);
  return result.stdout.toString();
}

export interface Seen {
  readonly mode: string;
  readonly owner: string;
  /** Seconds: layers made by umoci have no fraction. */
  mtime: number;
  readonly size: number;
  readonly links: number;
  readonly device: number;
  /** SHA-256 of a file, target of a symlink. */
  readonly content: string;
}

/** Everything below a directory, by path. */
export function listTree(root: string, path = "", found = new Map<string, Seen>()): Map<string, Seen> {
  const full = join(root, path);
  const stat = lstatSync(full);
  found.set(path, {
    mode: stat.mode.toString(8),
    owner: `${stat.uid}:${stat.gid}`,
    mtime: Math.floor(stat.mtimeMs / 1000),
    size: stat.isFile() ? stat.size : 0,
    links: stat.isDirectory() ? 0 : stat.nlink,
    device: stat.isCharacterDevice() || stat.isBlockDevice() ? stat.rdev : 0,
    content: stat.isFile() ? hashFile(full) : stat.isSymbolicLink() ? readlinkSync(full) : "",
  });
  if (stat.isDirectory()) {
    for (const name of readdirSync(full)) listTree(root, path === "" ? name : `${path}/${name}`, found);
  }
  return found;
}

export function differences(seen: Map<string, Seen>, expected: Map<string, Seen>): string[] {
  const paths = [...new Set([...seen.keys(), ...expected.keys()])].sort();
  return paths
    .filter((path) => !Bun.deepEquals(seen.get(path), expected.get(path)))
    .map((path) => `${path}: ${JSON.stringify(seen.get(path))}, not ${JSON.stringify(expected.get(path))}`)
    .slice(0, 20);
}

/** `path capabilities` of each file that has some. */
export function capabilities(root: string): string[] {
  return command("getcap", "-r", root)
    .split("\n")
    .map((line) => line.replace(root, ""))
    .filter((line) => line !== "")
    .sort();
}

const buffer = Buffer.alloc(1 << 20);

function hashFile(path: string): string {
  const hash = createHash("sha256");
  const fd = openSync(path, "r");
  for (let n = readSync(fd, buffer); n > 0; n = readSync(fd, buffer)) hash.update(buffer.subarray(0, n));
  closeSync(fd);
  return hash.digest("hex");
}

/** What is made so on purpose when a tree becomes an image: the root is like /usr, /run is empty and as old as /usr. */
export function expectedOfImage(tree: Map<string, Seen>): Map<string, Seen> {
  const usr = tree.get("usr")!;
  tree.set("", { ...usr });
  for (const path of tree.keys()) if (path.startsWith("run/")) tree.delete(path);
  tree.get("run")!.mtime = usr.mtime;
  return tree;
}
