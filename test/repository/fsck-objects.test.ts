import { expect, test } from "bun:test";
import { appendFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lineOf } from "../../src/repository/findings.ts";
import { checkAllObjects } from "../../src/repository/fsck-objects.ts";
import { OBJECT_DIRECTORIES, ObjectChecker, parseObjectIdParts } from "../../src/repository/object-check.ts";
import { Repository } from "../../src/repository/repository.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../src/sys/file.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { Scratch } from "./support.ts";

test.each([1, 2, 3])("%d threads find the same", async (jobs) => {
  using scratch = new Scratch();
  const path = scratch.unpack("repos/full-sha512.tar.gz");
  const victims = readdirSync(join(path, "objects")).slice(0, 3);
  for (const xx of victims) {
    appendFileSync(join(path, "objects", xx, readdirSync(join(path, "objects", xx))[0]!), "x");
  }
  using objects = open(join(path, "objects"), O_RDONLY | O_DIRECTORY);
  const { checked, findings } = await checkAllObjects(
    { objects: objects.fd, hash: "sha512", secure: false },
    jobs,
    0,
  );
  expect(checked).toBe(24);
  expect(findings.map(({ object }) => object!.slice(0, 2)).sort()).toEqual(victims.sort());
  for (const { kind } of findings) expect(kind).toBe("object-digest-mismatch");
});

test("a directory that can't be read is an error, in whatever thread it is met", async () => {
  const noDescriptor = 1_000_000;
  for (const jobs of [1, 2]) {
    const check = checkAllObjects({ objects: noDescriptor, hash: "sha512", secure: false }, jobs, 0);
    await expect(check).rejects.toThrow("objects/");
  }
});

test("a file in the place of a directory does not stop the check", async () => {
  using scratch = new Scratch();
  const path = scratch.unpack("repos/full-sha512.tar.gz");
  rmSync(join(path, "objects/00"), { recursive: true, force: true });
  writeFileSync(join(path, "objects/00"), "");
  using objects = open(join(path, "objects"), O_RDONLY | O_DIRECTORY);
  const { findings } = await checkAllObjects({ objects: objects.fd, hash: "sha512", secure: false }, 1);
  expect(findings).toEqual([{ kind: "not-a-directory", path: "objects/00" }]);
});

test("objects of every size are measured", () => {
  using scratch = new Scratch();
  using repository = Repository.open(scratch.init());
  const sizes = [0, 1, 4096, 4097, 1_048_575, 1_048_576, 1_048_577, 3_000_000];
  for (const size of sizes) repository.objects.storeBytes(Buffer.alloc(size, `${size} `));
  using objects = open(join(repository.path, "objects"), O_RDONLY | O_DIRECTORY);
  const checker = new ObjectChecker(SHA256, false);
  const results = OBJECT_DIRECTORIES.map((xx) => checker.checkDirectory(objects.fd, xx));
  expect(results.reduce((sum, { checked }) => sum + checked, 0)).toBe(sizes.length);
  expect(results.flatMap(({ findings }) => findings)).toEqual([]);
});

test("what is no regular file does not stop the check", () => {
  using scratch = new Scratch();
  const directory = scratch.mkdir("objects/ab");
  const name = (digit: string) => digit.repeat(62);
  Bun.spawnSync(["mkfifo", join(directory, name("0"))]);
  mkdirSync(join(directory, name("1")));
  Bun.spawnSync(["ln", "-s", "/nowhere", join(directory, name("2"))]);
  Bun.spawnSync(["ln", "-s", name("3"), join(directory, name("3"))]);
  using objects = open(scratch.join("objects"), O_RDONLY | O_DIRECTORY);
  const { checked, findings } = new ObjectChecker(SHA256, false).checkDirectory(objects.fd, "ab");
  expect(checked).toBe(4);
  expect(findings.map((finding) => lineOf(finding).replace(/objects\/ab\/(.)\1*/, "$1")).sort()).toEqual([
    expect.stringMatching(/^object-(digest-mismatch|verity-failed): 0/),
    expect.stringMatching(/^object-open-failed: 2: Too many levels/),
    expect.stringMatching(/^object-open-failed: 3: Too many levels/),
    "object-verity-failed: 1: Computing verity digest in userspace",
  ]);
});

test("names of objects", () => {
  const id = fsVerityDigest(new Uint8Array(0), SHA256);
  expect(parseObjectIdParts(id.slice(0, 2), id.slice(2), SHA256)).toBe(id);
  expect(parseObjectIdParts(id.slice(0, 2), id.slice(2).toUpperCase(), SHA256)).toBe(id);
  expect(() => parseObjectIdParts("00", "zz", SHA256)).toThrow("Invalid string length");
  expect(() => parseObjectIdParts("00", "g".repeat(62), SHA256)).toThrow(
    "Invalid character 'g' at position 0",
  );
});
