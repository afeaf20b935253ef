import { expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { CfsError } from "../../src/errors.ts";
import { resolveObject } from "../../src/repository/links.ts";
import { baseName, entryComponents, objectOfTarget, refComponents } from "../../src/repository/names.ts";
import { listRefs, removeRef, walkRefs, writeRef } from "../../src/repository/refs.ts";
import { Repository } from "../../src/repository/repository.ts";
import { linkStream } from "../../src/repository/streams.ts";
import { type ObjectId, objectPath, SHA256 } from "../../src/verity/digest.ts";
import { Scratch } from "./support.ts";

const ID = "0123456789abcdef".repeat(4) as ObjectId;

test.each(["", "/abs", "a//b", "a/", ".", "..", "a/../b", "a\0b", "x".repeat(256), "é".repeat(128)])(
  "%j is no name of a ref",
  (name) => {
    expect(() => refComponents(name)).toThrow(CfsError);
    expect(() => entryComponents(name, "images")).toThrow(CfsError);
  },
);

test.each(["a", "a/b/c", ".hidden", "a..b", "ü/✓", "x".repeat(255), "oci-layer-sha256:00"])(
  "%j is a name",
  (name) => {
    expect(Buffer.from(refComponents(name).join("/"), "latin1").toString()).toBe(name);
  },
);

test.each([
  ["../objects/a", "a"],
  ["x", "x"],
  ["../x/", "x"],
  ["..", undefined],
  ["../..", undefined],
  ["/", undefined],
  ["a/.", "a"],
])("the last component of %j is %j", (path, expected) => {
  expect(baseName(path)).toBe(expected);
});

test("the object of a link's target is told by its end only", () => {
  const path = objectPath(ID);
  for (const prefix of ["../objects/", "", "/elsewhere/", "junk"]) {
    expect(objectOfTarget(prefix + path, SHA256)).toBe(ID);
  }
  expect(objectOfTarget(`../objects/${path.toUpperCase()}`, SHA256)).toBe(ID);
  expect(() => objectOfTarget(path.slice(1), SHA256)).toThrow(CfsError);
  expect(() => objectOfTarget(`../objects/${ID}`, SHA256)).toThrow(CfsError);
  expect(() => objectOfTarget(`../objects/${path.slice(0, -1)}g`, SHA256)).toThrow(CfsError);
});

test("refs are relative links, nested, replaced in one step and removed", () => {
  using scratch = new Scratch();
  const path = scratch.init();
  using repository = Repository.open(path);
  linkStream(repository, "one", ID, "os/stable/x");
  expect(readlinkSync(`${path}/streams/one`)).toBe(`../objects/${objectPath(ID)}`);
  expect(readlinkSync(`${path}/streams/refs/os/stable/x`)).toBe("../../../one");
  linkStream(repository, "two", ID, "os/stable/x");
  linkStream(repository, "two", ID, "a");
  expect(listRefs(repository, "streams")).toEqual([
    { name: "a", target: "../two" },
    { name: "os/stable/x", target: "../../../two" },
  ]);
  expect(removeRef(repository, "streams", "os/stable/x")).toBe(true);
  expect(removeRef(repository, "streams", "os/stable/x")).toBe(false);
  expect(removeRef(repository, "streams", "no/such")).toBe(false);
  expect(listRefs(repository, "streams").map(({ name }) => name)).toEqual(["a"]);
  expect(readdirSync(path).sort()).toEqual(["meta.json", "streams"]);
});

test("a directory that is a link is not followed when refs are written", () => {
  using scratch = new Scratch();
  const path = scratch.init();
  const outside = scratch.mkdir("outside");
  mkdirSync(`${path}/images`);
  symlinkSync(outside, `${path}/images/refs`);
  using repository = Repository.open(path);
  expect(() => writeRef(repository, "images", "x", ID)).toThrow(CfsError);
  expect(() => removeRef(repository, "images", "x")).not.toThrow();
  expect(walkRefs(repository, "images")).toEqual([]);
  expect(readdirSync(outside)).toEqual([]);
});

test("something else than a link is not overwritten", () => {
  using scratch = new Scratch();
  const path = scratch.init();
  mkdirSync(`${path}/images/refs/taken`, { recursive: true });
  using repository = Repository.open(path);
  expect(() => writeRef(repository, "images", "taken", ID)).toThrow(CfsError);
  expect(lstatSync(`${path}/images/refs/taken`).isDirectory()).toBe(true);
  expect(readdirSync(path).sort()).toEqual(["images", "meta.json"]);
});

test("links are followed inside the repository only, whatever they say", () => {
  using scratch = new Scratch();
  const path = scratch.init();
  mkdirSync(`${path}/streams/refs/d`, { recursive: true });
  writeFileSync(scratch.join("secret"), "x");
  using repository = Repository.open(path);
  const component = fc.constantFrom(
    "..",
    ".",
    "",
    "refs",
    "d",
    "s0",
    "s1",
    "objects",
    ID.slice(0, 2),
    ID.slice(2),
  );
  const target = fc.oneof(
    fc.array(component, { minLength: 1, maxLength: 8 }).map((parts) => parts.join("/")),
    fc.constantFrom(
      "/etc/passwd",
      "../../secret",
      `../objects/${objectPath(ID)}`,
      "s0",
      "../s0",
      "refs/d/../s1",
    ),
    fc.string({ minLength: 1, maxLength: 80 }).filter((text) => !text.includes("\0")),
  );
  let run = 0;
  fc.assert(
    fc.property(target, target, target, (a, b, c) => {
      const names = ["s0", "s1", "refs/d/r"].map((name) => `${name}-${run}`);
      run++;
      const rename = (text: string) => text.replaceAll(/s[01]/g, (name) => `${name}-${run - 1}`) || ".";
      [a, b, c].forEach((text, i) => {
        symlinkSync(rename(text), `${path}/streams/${names[i]}`);
      });
      for (const name of names) {
        try {
          const id = resolveObject(repository.dir, ["streams", ...name.split("/")], SHA256);
          if (id !== undefined) expect(id).toMatch(/^[0-9a-f]{64}$/);
        } catch (error) {
          expect(error).toBeInstanceOf(CfsError);
        }
      }
    }),
    { numRuns: 150 },
  );
});
