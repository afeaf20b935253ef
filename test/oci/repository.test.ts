import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CfsError, describeError } from "../../src/errors.ts";
import { checkImages } from "../../src/oci/fsck.ts";
import { openImage, resolveName } from "../../src/oci/image.ts";
import { imageTree } from "../../src/oci/image-tree.ts";
import { listTaggedImages } from "../../src/oci/list.ts";
import { listTags, lookUpTag, removeTag, writeTag } from "../../src/oci/tags.ts";
import { checkRepository } from "../../src/repository/fsck.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { lookUpStream, openStream } from "../../src/repository/streams.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import { type ObjectId, objectPath, SHA256 } from "../../src/verity/digest.ts";
import { Scratch } from "../repository/support.ts";
import { FIXTURES, newRepository, pull } from "./support.ts";

const BASIC = `oci-archive:${join(FIXTURES, "images/basic.tar")}:t`;
const MANIFEST = "sha256:6acba205afb1c881c215285ccd7857adf1bf50f52d834da69120cb4f4330a6f9";
const CONFIG = "sha256:d1f98a35a7712cd7c3c963feea257cc0ee43ebbcad13ef4374571b2c3b4a0c4c";
const LAYER = "sha256:2be7ab5d287a9d91c018b9e7839bf6dd5046e0f4221d60c4a4ddc58322681ccd";
const FINAL_ID = "e34ff70424681a9d80caeca46fb0a9698f92ffdfb0e9efdf81f52de2a9738033" as ObjectId;

async function withBasic<T>(action: (repository: Repository, path: string) => T): Promise<Awaited<T>> {
  using scratch = new Scratch();
  const path = scratch.join("r");
  using repository = newRepository(path, SHA256);
  await pull(repository, BASIC, { tag: "img:1" });
  return await action(repository, path);
}

function errorOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof CfsError) return describeError(error);
    throw error;
  }
  return "";
}

describe("names of images", () => {
  test.each([
    ["img:1", "manifest", MANIFEST, false],
    [`@${MANIFEST}`, "manifest", MANIFEST, true],
    [MANIFEST, "manifest", MANIFEST, true],
    [`@${CONFIG}`, "config", CONFIG, true],
    [CONFIG, "config", CONFIG, true],
  ])("%s", async (name, document, digest, byDigest) => {
    await withBasic((repository) => {
      expect(resolveName(repository, name)).toEqual({ document, digest, byDigest } as ReturnType<
        typeof resolveName
      >);
      const tree = imageTree(repository, name, { xattrs: "allowlist-only" });
      expect(
        createHash("sha256")
          .update([...dumpTree(tree)].join(""))
          .digest("hex"),
      ).toBe(createHash("sha256").update(expectedDump()).digest("hex"));
    });
  });

  test("what is not there, and what is no image", async () => {
    await withBasic((repository) => {
      expect(errorOf(() => resolveName(repository, "nope"))).toBe("OCI reference not found: nope");
      expect(errorOf(() => resolveName(repository, "@nope"))).toContain("Invalid OCI digest after '@'");
      expect(errorOf(() => resolveName(repository, "../../meta.json"))).toContain("not found");
      expect(errorOf(() => resolveName(repository, `@sha256:${"0".repeat(64)}`))).toContain("not found");
      expect(errorOf(() => openImage(repository, CONFIG))).toContain("is a config, but a manifest is needed");
    });
  });

  test("a tag can't stand in for a digest that is there", async () => {
    await withBasic(async (repository) => {
      await pull(repository, `oci-archive:${join(FIXTURES, "images/xattrs.tar")}:t`, { tag: MANIFEST });
      expect(resolveName(repository, MANIFEST).digest as string).toBe(MANIFEST);
    });
  });
});

function expectedDump(): string {
  return JSON.parse(readFileSync(join(FIXTURES, "images/expected.json"), "utf8")).basic.dump;
}

describe("tags", () => {
  test("are written, listed, moved and removed", async () => {
    await withBasic((repository, path) => {
      for (const name of ["b/c", "a", "x%y", "sha256:x"])
        writeTag(repository, resolveName(repository, "img:1").digest, name);
      expect(listTags(repository).map(({ name }) => name)).toEqual(["a", "b/c", "img:1", "sha256:x", "x%y"]);
      expect(readdirSync(join(path, "streams/refs/oci")).sort()).toEqual([
        "a",
        "b%2Fc",
        "img:1",
        "sha256:x",
        "x%25y",
      ]);
      removeTag(repository, "b/c");
      expect(lookUpTag(repository, "b/c")).toBeUndefined();
      expect(errorOf(() => removeTag(repository, "b/c"))).toBe("there is no tag b/c");
      expect(errorOf(() => removeTag(repository, ".."))).toBe("there is no tag ..");
    });
  });

  test("links that lead elsewhere are reported, not followed", async () => {
    await withBasic((repository, path) => {
      symlinkSync("/etc/passwd", join(path, "streams/refs/oci/evil"));
      expect(errorOf(() => resolveName(repository, "evil"))).toContain("does not point to a manifest");
      const said: string[] = [];
      expect(listTaggedImages(repository, (text) => said.push(text)).map(({ name }) => name)).toEqual([
        "img:1",
      ]);
      expect(said).toEqual(["tag evil: it does not point to a manifest"]);
    });
  });
});

/** Overwrites an object with other bytes of the same length. */
function damage(path: string, id: ObjectId): void {
  const file = join(path, "objects", objectPath(id));
  const bytes = readFileSync(file);
  bytes[bytes.length >> 1]! ^= 0xff;
  writeFileSync(file, bytes);
}

function remove(path: string, id: ObjectId): void {
  unlinkSync(join(path, "objects", objectPath(id)));
}

/** The first object that a stream refers to. */
function objectOf(repository: Repository, stream: string): ObjectId {
  using opened = openStream(repository, stream);
  return [...opened.reader.objectRefs][0]!;
}

describe("damage is found, and healed by pulling again", () => {
  test.each<[string, (repository: Repository, path: string) => void, RegExp]>([
    [
      "a missing manifest",
      (r, path) => remove(path, objectOf(r, `oci-manifest-${MANIFEST}`)),
      /manifest-read-failed: img:1/,
    ],
    [
      "a changed manifest",
      (r, path) => damage(path, objectOf(r, `oci-manifest-${MANIFEST}`)),
      /manifest-(read-failed|digest-mismatch): img:1/,
    ],
    [
      "a manifest without its stream's link",
      (_, path) => unlinkSync(join(path, "streams", `oci-manifest-${MANIFEST}`)),
      /manifest-read-failed: img:1/,
    ],
    [
      "a changed config",
      (r, path) => damage(path, objectOf(r, `oci-config-${CONFIG}`)),
      /config-(read-failed|digest-mismatch): img:1/,
    ],
    [
      "a missing config stream",
      (r, path) => remove(path, lookUpStream(r, `oci-config-${CONFIG}`)!),
      /config-read-failed: img:1/,
    ],
    [
      "a missing layer stream",
      (r, path) => remove(path, lookUpStream(r, `oci-layer-${LAYER}`)!),
      /layer-object-missing: img:1/,
    ],
    [
      "a layer that is not linked",
      (_, path) => unlinkSync(join(path, "streams", `oci-layer-${LAYER}`)),
      /layer-stream-missing: img:1/,
    ],
    [
      "a missing file",
      (r, path) => remove(path, objectOf(r, `oci-layer-${LAYER}`)),
      /layer-object-missing: img:1/,
    ],
  ])("%s", async (_, harm, expected) => {
    await withBasic(async (repository, path) => {
      harm(repository, path);
      const report = checkImages(repository);
      expect([report.imagesChecked, report.imagesCorrupted]).toEqual([1, 1]);
      expect(report.errors.join("\n")).toMatch(expected);
      expect(checkImages(repository, "img:1").errors).toEqual([...report.errors]);
      const again = await pull(repository, BASIC, { tag: "img:1" }).catch((error: unknown) =>
        describeError(error),
      );
      if (typeof again === "string") throw new Error(again);
      expect(again.unchanged).toBe(false);
      expect(again.verity).toBe(FINAL_ID);
      expect(checkImages(repository).errors).toEqual([]);
    });
  });

  test("a missing EROFS image is made again", async () => {
    await withBasic(async (repository, path) => {
      const image = readdirSync(join(path, "images")).find((name) => name !== "refs")!;
      remove(path, image as ObjectId);
      rmSync(join(path, "images", image));
      expect((await pull(repository, BASIC)).unchanged).toBe(false);
      expect((await checkRepository(repository)).errors).toEqual([]);
    });
  });

  test("a changed EROFS image is made again", async () => {
    await withBasic(async (repository, path) => {
      damage(path, readdirSync(join(path, "images")).find((name) => name !== "refs") as ObjectId);
      expect((await pull(repository, BASIC)).unchanged).toBe(false);
      expect((await checkRepository(repository)).errors).toEqual([]);
    });
  });

  test("an image under a forged digest is refused wherever it is read", async () => {
    await withBasic((repository, path) => {
      const forged = `sha256:${"0".repeat(64)}`;
      symlinkSync(`../objects/${objectPath(FINAL_ID)}`, join(path, "streams", `oci-manifest-${forged}`));
      expect(errorOf(() => openImage(repository, forged))).toContain(
        `Manifest integrity failed: expected ${forged}, got ${MANIFEST}`,
      );
    });
  });

  test("an image can be named by its digest", async () => {
    await withBasic((repository, path) => {
      for (const name of [MANIFEST, `@${MANIFEST}`])
        expect(checkImages(repository, name)).toEqual({
          imagesChecked: 1,
          imagesCorrupted: 0,
          faults: [],
          errors: [],
        });
      damage(path, objectOf(repository, `oci-manifest-${MANIFEST}`));
      expect(checkImages(repository, MANIFEST).errors[0]).toStartWith(
        `fsck: manifest-read-failed: ${MANIFEST}:`,
      );
    });
  });

  test("unknown tags and odd names", async () => {
    await withBasic((repository, path) => {
      expect(checkImages(repository, "nope").errors).toEqual([
        "fsck: ref-resolve-failed: nope: OCI reference not found: nope",
      ]);
      symlinkSync(`../../oci-manifest-${MANIFEST}`, join(path, "streams/refs/oci/@x"));
      expect(checkImages(repository).errors).toEqual([
        "fsck: invalid-ref-name: @x: leading '@' is reserved for digest references",
      ]);
    });
  });
});

test("docker's schema 2 gives the same files as the OCI form of the image", async () => {
  using scratch = new Scratch();
  const layout = scratch.mkdir("layout");
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  const registry = join(FIXTURES, "registry");
  for (const name of readdirSync(join(registry, "blobs")))
    writeFileSync(join(layout, "blobs/sha256", name), readFileSync(join(registry, "blobs", name)));
  const manifest = readFileSync(join(registry, "v2s2-v1.manifest.json"));
  const hex = createHash("sha256").update(manifest).digest("hex");
  writeFileSync(join(layout, "blobs/sha256", hex), manifest);
  const mediaType = "application/vnd.docker.distribution.manifest.v2+json";
  const descriptor = { mediaType, digest: `sha256:${hex}`, size: manifest.length };
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }));

  using repository = newRepository(scratch.join("r"), SHA256);
  const report = await pull(repository, `oci:${layout}`, { tag: "docker" });
  expect<string>(report.manifest).toBe(`sha256:${hex}`);
  expect(Buffer.from(openImage(repository, "docker").document.bytes).equals(manifest)).toBe(true);
  const { hardlinks } = JSON.parse(readFileSync(join(FIXTURES, "images/expected.json"), "utf8"));
  expect(readdirSync(scratch.join("r/images"))).toContain(hardlinks["compute-id"].sha256.V1);
  // composefs-rs looks for the layers of what it takes for an artifact under their transported digests.
  using stream = openStream(repository, `oci-manifest-sha256:${hex}`);
  const { layers } = JSON.parse(manifest.toString()) as { layers: { digest: string }[] };
  for (const { digest } of layers) expect(stream.reader.namedRefs.has(digest)).toBe(true);
  expect((await pull(repository, `oci:${layout}`)).unchanged).toBe(true);
  expect(checkImages(repository).errors).toEqual([]);
});
