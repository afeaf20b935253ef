import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { type ByteString, bytesOf, display } from "../../src/bytes.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../../src/mode.ts";
import { DT_DIR, openDirectory, readDirectory } from "../../src/sys/dir.ts";
import type { Fd } from "../../src/sys/fd.ts";
import { AT_FDCWD } from "../../src/sys/file.ts";
import { readXattrs } from "../../src/sys/xattr.ts";
import { isWhiteout, type RandomFile } from "./random-dumpfile.ts";

/** The most differences that are told of one image. */
const MOST = 5;

/**
 * Mounts an EROFS image and compares what the kernel finds in it with what was made up. Whiteouts are empty files there,
 * whose markers only overlayfs understands.
 * @returns what differs, as text.
 */
export function kernelDifferences(
  image: string,
  mountpoint: string,
  files: ReadonlyMap<ByteString, RandomFile>,
): string[] {
  const mounted = Bun.spawnSync(["mount", "-t", "erofs", "-o", "ro,loop", image, mountpoint]);
  if (!mounted.success) return [`mount: ${mounted.stderr}`];
  try {
    using root = openDirectory(AT_FDCWD, mountpoint);
    const differences: string[] = [];
    const inodes = new Map<RandomFile, bigint>();
    for (const [path, file] of files) {
      const texts = [
        ...fileDifferences(mountpoint, path, file, inodes),
        ...xattrDifferences(root.fd, path, file),
      ];
      differences.push(...texts.map((text) => `${display(path)}: ${text}`));
      if (differences.length >= MOST) break;
    }
    const found = countEntries(root);
    if (found !== files.size) differences.push(`${found} entries instead of ${files.size}`);
    return differences;
  } finally {
    Bun.spawnSync(["umount", mountpoint]);
  }
}

function* fileDifferences(
  mountpoint: string,
  path: ByteString,
  file: RandomFile,
  inodes: Map<RandomFile, bigint>,
): Generator<string> {
  const place = Buffer.concat([Buffer.from(mountpoint), bytesOf(path)]);
  const stat = lstatSync(place, { bigint: true });
  const whiteout = isWhiteout(file);
  const mode = whiteout ? S_IFREG | (file.mode & 0o7777) : file.mode;
  const isDirectory = (mode & S_IFMT) === S_IFDIR;
  const expected: Record<string, unknown> = {
    mode,
    uid: file.uid,
    gid: file.gid,
    mtimeNs: BigInt(file.mtime) * 1_000_000_000n + BigInt(file.mtimeNsec),
    ...(!isDirectory && { nlink: file.nlink, size: file.size }),
    ...(file.rdev > 0 && { rdev: BigInt(file.rdev) }),
    ...(file.content !== "" && { content: file.content }),
    ...((mode & S_IFMT) === 0o120000 && { target: file.payload }),
  };
  const found: Record<string, unknown> = {
    mode: Number(stat.mode),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtimeNs: stat.mtimeNs,
    nlink: Number(stat.nlink),
    size: stat.size,
    rdev: stat.rdev,
    content: file.content === "" ? "" : readFileSync(place).latin1Slice(),
    target: stat.isSymbolicLink() ? readlinkSync(place, "buffer").latin1Slice() : "",
  };
  for (const [field, value] of Object.entries(expected))
    if (found[field] !== value) yield `${field} ${String(found[field])} instead of ${String(value)}`;
  const first = inodes.get(file);
  if (first !== undefined && first !== stat.ino) yield "is another file than the one it is a hard link of";
  inodes.set(file, stat.ino);
}

/** Names of which the kernel gives root the value as it stands in the image; others have to make sense to it. */
function isPlain(name: ByteString): boolean {
  return /^(user|trusted)\..|^security\.selinux$/.test(name);
}

/** Only files and directories have such attributes on Linux; whiteouts are files in an image. */
function hasUserXattrs(file: RandomFile): boolean {
  const type = file.mode & S_IFMT;
  return type === S_IFREG || type === S_IFDIR || isWhiteout(file);
}

function* xattrDifferences(root: number, path: ByteString, file: RandomFile): Generator<string> {
  const name = path === "/" ? "." : path.slice(1);
  const xattrs = readXattrs(root, name, () => display(path), isPlain) ?? new Map<ByteString, ByteString>();
  for (const [name, value] of file.xattrs) {
    if (!isPlain(name) || (name.startsWith("user.") && !hasUserXattrs(file))) continue;
    const escaped = name.replace(/^trusted\.overlay\./, "trusted.overlay.overlay.");
    if (xattrs.get(escaped) !== value) yield `xattr ${display(escaped)} ${String(xattrs.get(escaped))}`;
  }
}

/** All names, without the whiteouts that the format adds. */
function countEntries(directory: Fd, isRoot = true): number {
  let count = isRoot ? 1 : 0;
  for (const { name, type } of [...readDirectory(directory)]) {
    if (isRoot && /^[0-9a-f]{2}$/.test(name)) continue;
    count++;
    if (type !== DT_DIR) continue;
    using below = openDirectory(directory.fd, name);
    count += countEntries(below, false);
  }
  return count;
}
