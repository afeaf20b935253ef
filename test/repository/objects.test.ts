import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ObjectStore } from "../../src/repository/objects.ts";
import { FileSpool } from "../../src/repository/spool.ts";
import type { Fd } from "../../src/sys/fd.ts";
import { O_DIRECTORY, O_RDONLY, open, pwriteAll } from "../../src/sys/file.ts";
import { objectPath, SHA256, SHA512 } from "../../src/verity/digest.ts";

// Digests from `fsverity digest`.
const HELLO = "1e2eaa4202d750a41174ee454970b92c1bc2f925b1e35076d8c7d5f56362ba64";
const EMPTY = "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95";

let folder: string;
let repository: Fd;
let store: ObjectStore;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "objects-"));
  repository = open(folder, O_RDONLY | O_DIRECTORY);
  store = new ObjectStore({ repositoryFd: repository.fd, algorithm: SHA256, verity: "try" });
});

afterEach(() => {
  store.close();
  repository.close();
  rmSync(folder, { recursive: true });
});

const hello = new TextEncoder().encode("hello world");

test("an object lies under its digest, and is written once", () => {
  expect(store.storeBytes(hello)).toEqual({ id: HELLO as never, created: true });
  const path = join(folder, "objects", HELLO.slice(0, 2), HELLO.slice(2));
  expect(readFileSync(path, "utf8")).toBe("hello world");
  expect(statSync(path).mode & 0o777).toBe(0o644);
  const { ino } = statSync(path);
  expect(store.storeBytes(hello).created).toBe(false);
  expect(statSync(path).ino).toBe(ino);
  expect(store.storeBytes(new Uint8Array(0)).id).toBe(EMPTY as never);
  expect(store.sizeOf(HELLO as never)).toBe(11);
  expect(store.has("ab".repeat(32) as never)).toBe(false);
});

test("files are filled in any order and named at the end", () => {
  const file = store.begin();
  pwriteAll(file.fd, hello.subarray(6), 6);
  pwriteAll(file.fd, hello.subarray(0, 6), 0);
  expect(readdirSync(join(folder, "objects"))).toEqual([]);
  expect(store.commit(file, HELLO as never, 11)).toBe(true);
  expect(Buffer.from(store.read(HELLO as never, 100)).toString()).toBe("hello world");
  expect(store.commit(store.begin(), EMPTY as never, 0)).toBe(true);
  store.abandon(store.begin());
  expect(readdirSync(join(folder, "objects")).sort()).toEqual(["1e", "3d"]);
});

test("streams are hashed as they are written", () => {
  const { id, size, created } = store.storeStream((write) => {
    for (const byte of hello) write(Uint8Array.of(byte));
  });
  expect([id as string, size, created]).toEqual([HELLO, 11, true]);
  expect(() =>
    store.storeStream((write) => {
      write(hello);
      throw new Error("source failed");
    }),
  ).toThrow("source failed");
  expect(readdirSync(join(folder, "objects"))).toEqual(["1e"]);
});

test("an object of the wrong size is replaced", () => {
  store.storeBytes(hello);
  const path = join(folder, "objects", objectPath(HELLO as never));
  truncateSync(path, 3);
  expect(store.storeBytes(hello).created).toBe(true);
  expect(readFileSync(path, "utf8")).toBe("hello world");
  expect(readdirSync(join(folder, "objects"))).toEqual(["1e"]);
});

test("a damaged or missing object is refused when read", () => {
  store.storeBytes(hello);
  const path = join(folder, "objects", objectPath(HELLO as never));
  chmodSync(path, 0o600);
  writeFileSync(path, "jello world");
  expect(() => store.read(HELLO as never, 100)).toThrow(/does not have the content of sha256:1e2eaa/);
  expect(() => store.read(HELLO as never, 10)).toThrow(/11 bytes are more than the 10/);
  expect(() => store.open("00".repeat(32) as never)).toThrow(/missing from the repository/);
});

test("without fs-verity, a repository that requires it stores nothing", () => {
  const strict = new ObjectStore({ repositoryFd: repository.fd, algorithm: SHA512, verity: "require" });
  try {
    const { id } = strict.storeBytes(hello);
    // A file system with fs-verity: then the kernel vouches for it.
    strict.open(id).close();
  } catch (error) {
    expect(String(error)).toContain("does not support fs-verity");
    expect(
      readdirSync(join(folder, "objects"), { recursive: true, withFileTypes: true }).filter((e) =>
        e.isFile(),
      ),
    ).toEqual([]);
  }
  strict.close();
});

test("a spool gives back what it was given, in memory and in a file", () => {
  const spool = new FileSpool(repository.fd);
  for (const rounds of [3, 90]) {
    const piece = new Uint8Array(100_000);
    for (let i = 0; i < rounds; i++) spool.append(piece.fill(i));
    expect(spool.length).toBe(rounds * 100_000);
    let at = 0;
    spool.drain((bytes) => {
      for (const byte of bytes)
        if (byte !== Math.floor(at++ / 100_000)) throw new Error(`wrong byte at ${at}`);
    });
    expect(at).toBe(rounds * 100_000);
    expect(spool.length).toBe(0);
  }
  spool.close();
  expect(readdirSync(folder)).toEqual([]);
});
