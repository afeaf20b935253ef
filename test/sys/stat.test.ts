import { describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  statfsSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../src/mode.ts";
import { ENOENT } from "../../src/sys/errno.ts";
import { AT_FDCWD, O_RDONLY, open } from "../../src/sys/file.ts";
import {
  emptyStatus,
  type FileStatus,
  fstat,
  fstatfs,
  isRegular,
  tryFstat,
  tryFstatat,
} from "../../src/sys/stat.ts";
import { testNeeding } from "../support/skip.ts";
import { tempDir } from "../support/temp.ts";

function statusOf(path: string, flags?: number): FileStatus {
  const out = emptyStatus();
  expect(tryFstatat(AT_FDCWD, path, out, flags)).toBe(0);
  return out;
}

/** What Node.js says about the same file. */
function expectSame(found: FileStatus, path: string): void {
  const stat = lstatSync(path, { bigint: true });
  const device = (major: number, minor: number) =>
    (BigInt(major) << 8n) | (BigInt(minor) & 0xffn) | ((BigInt(minor) & ~0xffn) << 12n);
  const nanoseconds = (seconds: number, rest: number) => BigInt(seconds) * 1_000_000_000n + BigInt(rest);
  expect({
    mode: BigInt(found.mode),
    nlink: BigInt(found.nlink),
    owner: `${found.uid}:${found.gid}`,
    size: BigInt(found.size),
    blocks: BigInt(found.blocks),
    ino: BigInt(found.ino),
    mtime: nanoseconds(found.mtime, found.mtimeNsec),
    ctime: nanoseconds(found.ctime, found.ctimeNsec),
    dev: device(found.devMajor, found.devMinor),
    rdev: device(found.rdevMajor, found.rdevMinor),
  }).toEqual({
    mode: stat.mode,
    nlink: stat.nlink,
    owner: `${stat.uid}:${stat.gid}`,
    size: stat.size,
    blocks: stat.blocks,
    ino: stat.ino,
    mtime: stat.mtimeNs,
    ctime: stat.ctimeNs,
    dev: stat.dev,
    rdev: stat.rdev,
  });
}

describe("statx", () => {
  test("agrees with Node.js on files of many kinds", () => {
    using dir = tempDir();
    writeFileSync(dir.join("file"), "12345");
    chmodSync(dir.join("file"), 0o4755);
    linkSync(dir.join("file"), dir.join("hard"));
    writeFileSync(dir.join("large"), "");
    truncateSync(dir.join("large"), 5 * 2 ** 32 + 7);
    writeFileSync(dir.join("old"), "");
    utimesSync(dir.join("old"), -1_000_000_000.5, -1_000_000_000.5);
    mkdirSync(dir.join("directory"));
    symlinkSync("nowhere", dir.join("link"));
    for (const name of ["file", "hard", "large", "old", "directory", "link"]) {
      expectSame(statusOf(dir.join(name)), dir.join(name));
    }
    for (const path of ["/dev/null", "/dev/urandom", "/"]) expectSame(statusOf(path), path);
  });

  testNeeding("root")("agrees on owners", () => {
    using dir = tempDir();
    writeFileSync(dir.join("file"), "");
    chownSync(dir.join("file"), 4_000_000_000, 3_000_000_000);
    expectSame(statusOf(dir.join("file")), dir.join("file"));
  });

  test("follows a link only when asked to, and tells types apart", () => {
    using dir = tempDir();
    writeFileSync(dir.join("file"), "");
    symlinkSync("file", dir.join("link"));
    const link = statusOf(dir.join("link"));
    const followed = statusOf(dir.join("link"), 0);
    const directory = statusOf(dir.path);
    expect([link, followed, directory].map(({ mode }) => mode & S_IFMT)).toEqual([S_IFLNK, S_IFREG, S_IFDIR]);
    expect([link, followed, directory].map(isRegular)).toEqual([false, true, false]);
    using file = open(dir.join("file"), O_RDONLY);
    expect(fstat(file)).toMatchObject({ ino: followed.ino, verity: false });
  });

  test("reports errors as numbers or exceptions", () => {
    using dir = tempDir();
    const out = emptyStatus();
    expect(tryFstatat(AT_FDCWD, dir.join("none"), out)).toBe(-ENOENT);
    expect(tryFstat(-1, out)).toBe(-9);
    expect(out).toEqual(emptyStatus());
    using file = open(dir.path, O_RDONLY);
    file.close();
    expect(() => fstat(file)).toThrow(`${dir.path}: Bad file descriptor (os error 9)`);
  });
});

test("fstatfs agrees with Node.js", () => {
  using dir = tempDir();
  using fd = open(dir.path, O_RDONLY);
  const found = fstatfs(fd);
  const expected = statfsSync(dir.path);
  expect(found.type).toBe(expected.type);
  expect(found.totalBytes).toBe(expected.blocks * expected.bsize);
  expect(found.freeInodes).toBeGreaterThan(0);
  expect(found.availableBytes).toBeLessThanOrEqual(found.totalBytes);
  expect(found.readOnly).toBe(false);
});
