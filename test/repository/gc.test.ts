import { describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { CfsError } from "../../src/errors.ts";
import { checkRepository } from "../../src/repository/fsck.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import { findLiveObjects } from "../../src/repository/live-objects.ts";
import { Repository } from "../../src/repository/repository.ts";
import { catStream, openStream } from "../../src/repository/streams.ts";
import { objectPath } from "../../src/verity/digest.ts";
import { Scratch } from "./support.ts";

const FULL = "repos/full-sha256.tar.gz";
const EDGE = "oci-layer-sha256:818a9451e1359584c490bf45098da3f178c833845343df352a834951d915247c";

/** All paths below a directory that are no directories, sorted. */
function files(root: string, below = ""): string[] {
  return readdirSync(join(root, below))
    .flatMap((name) => {
      const path = join(below, name);
      return lstatSync(join(root, path)).isDirectory() ? files(root, path) : [path];
    })
    .sort();
}

test("left-overs of interrupted work go, other files stay and are named", () => {
  using scratch = new Scratch();
  const path = scratch.unpack(FULL);
  mkdirSync(`${path}/tmp/download`, { recursive: true });
  writeFileSync(`${path}/tmp/download/part`, "x");
  writeFileSync(`${path}/tmp/part`, "x");
  writeFileSync(`${path}/objects/.tmp-object-abc`, "x");
  symlinkSync("../x", `${path}/.symlink-abcdefghijkl`);
  writeFileSync(`${path}/objects/other`, "x");
  writeFileSync(`${path}/objects/00-note`, "x");
  mkdirSync(`${path}/objects/ff/${"0".repeat(62)}`, { recursive: true });
  using repository = Repository.open(path);
  const before = files(path);
  expect(collectGarbage(repository, { dryRun: true })).toMatchObject({
    objectsRemoved: 2,
    bytesRemoved: 753,
    temporaryFilesRemoved: 4,
    strays: [`objects/ff/${"0".repeat(62)} is a directory`],
  });
  expect(files(path)).toEqual(before);
  expect(collectGarbage(repository)).toMatchObject({ objectsRemoved: 2, temporaryFilesRemoved: 4 });
  const after = files(path);
  expect(after).toHaveLength(before.length - 2 - 4);
  expect(after).toContain("objects/other");
  expect(after).toContain("objects/00-note");
  expect(existsSync(`${path}/tmp`)).toBe(true);
});

describe("a root that can't be read", () => {
  const damages: [string, (path: string, object: (name: string) => string) => void][] = [
    ["is truncated", (_, object) => truncateSync(object(EDGE), 40)],
    [
      "has a flipped bit",
      (_, object) => {
        const bytes = readFileSync(object(EDGE));
        bytes[120]! ^= 1;
        writeFileSync(object(EDGE), bytes);
      },
    ],
    ["is missing", (_, object) => rmSync(object(EDGE))],
    ["has no link", (path) => rmSync(join(path, "streams", EDGE))],
    [
      "leads to no object",
      (path) => {
        rmSync(join(path, "streams", EDGE));
        symlinkSync("../nowhere", join(path, "streams", EDGE));
      },
    ],
  ];
  test.each(damages)("and %s: nothing is deleted", (_, damage) => {
    using scratch = new Scratch();
    const path = scratch.unpack(FULL);
    using repository = Repository.open(path);
    damage(path, (name) => {
      using stream = openStream(repository, name);
      return join(path, "objects", objectPath(stream.id));
    });
    const before = files(path);
    for (const dryRun of [true, false]) {
      let error: unknown;
      try {
        collectGarbage(repository, { dryRun });
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(CfsError);
      expect((error as CfsError).message).toContain("streams/refs/my/edge");
      expect((error as CfsError).hint).toContain(`rm ${path}/streams/refs/my/edge`);
    }
    expect(files(path)).toEqual(before);
    // The advice helps.
    rmSync(join(path, "streams/refs/my/edge"));
    expect(collectGarbage(repository).objectsRemoved).toBeGreaterThan(2);
  });
});

test("whatever is broken, what intact refs need survives", async () => {
  using scratch = new Scratch();
  const pristine = scratch.unpack(FULL);
  const all = files(pristine).filter((path) => path !== "meta.json");
  const damage = fc.record({
    path: fc.constantFrom(...all),
    how: fc.constantFrom("remove", "truncate", "junk", "dangle", "short", "elsewhere"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), async (damages) => {
      using copy = new Scratch();
      const path = copy.join("r");
      Bun.spawnSync(["cp", "-a", pristine, path]);
      for (const { path: victim, how } of damages) {
        const file = join(path, victim);
        rmSync(file, { force: true });
        mkdirSync(dirname(file), { recursive: true });
        if (how === "truncate") writeFileSync(file, readFileSync(join(pristine, victim)).subarray(0, 33));
        if (how === "junk") writeFileSync(file, "junk");
        if (how === "dangle") symlinkSync(`../objects/${objectPath("0".repeat(64) as never)}`, file);
        if (how === "short") symlinkSync("../objects/ab/cd", file);
        if (how === "elsewhere") symlinkSync("/etc/passwd", file);
      }
      using repository = Repository.open(path);
      const before = files(path);
      const intact = (await checkRepository(repository)).missingObjects;
      const { ids, unreadable } = findLiveObjects(repository, []);
      const alive = [...ids].filter((id) => existsSync(join(path, "objects", objectPath(id))));
      try {
        collectGarbage(repository);
        expect(unreadable).toEqual([]);
      } catch (error) {
        expect(error).toBeInstanceOf(CfsError);
        expect(unreadable).not.toEqual([]);
        expect(files(path)).toEqual(before);
      }
      for (const id of alive) expect(existsSync(join(path, "objects", objectPath(id)))).toBe(true);
      expect((await checkRepository(repository)).missingObjects).toBeLessThanOrEqual(intact);
    }),
    { numRuns: 40 },
  );
}, 30_000);

test("streams of every healthy repository have the size that they record", () => {
  using scratch = new Scratch();
  const path = scratch.unpack(FULL);
  using repository = Repository.open(path);
  for (const name of readdirSync(join(path, "streams")).filter((entry) => entry !== "refs")) {
    let size = 0;
    catStream(repository, name, (piece) => {
      size += piece.length;
    });
    expect(size).toBeGreaterThan(0);
  }
});

test("names given as roots that nothing has are reported", () => {
  using scratch = new Scratch();
  using repository = Repository.open(scratch.unpack(FULL));
  const stream = readdirSync(join(repository.path, "streams")).find((name) => name !== "refs")!;
  const { unknownRoots } = collectGarbage(repository, { roots: [stream, "nope", "a/b"], dryRun: true });
  expect(unknownRoots).toEqual(["nope", "a/b"]);
});
