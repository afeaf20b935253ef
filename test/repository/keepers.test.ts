import { expect, test } from "bun:test";
import { appendFileSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { checkRepository } from "../../src/repository/fsck.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import { findKeepers } from "../../src/repository/keepers.ts";
import { Repository } from "../../src/repository/repository.ts";
import { type ObjectId, objectPath } from "../../src/verity/digest.ts";
import { Scratch } from "./support.ts";
import { inProcess } from "./vector-runner.ts";

const FULL = "repos/full-sha256.tar.gz";
/** A file in the second layer of the image with the tag `myimg`. */
const IN_LAYER = "d7d049d74ea18e96dc810cdb3c1475236b5c2361fb69749f0b06b4ba7b31a49b" as ObjectId;
/** A file in the image that two refs point to. */
const IN_IMAGE = "0cdc1c17ea8c1642f945d34a297c77d18dc7e51e87b841ff5e2a0c20caa1a847" as ObjectId;
const IMAGE = "images/947ae5cba445dfec0b2cbf7cc20b8fa4cb15d9bb95c05a144cc43c7bf64080e3";
const MANIFEST =
  "streams/oci-manifest-sha256:f0220709aee89fb72b1811dbf9454f5c1446ee17a6d57d3586cb12d543e5e234";
const LAYER = "streams/oci-layer-sha256:7e941c0e70c87089bd7a9242336e0d41d2ba502060728198911e91ab90a22ee7";

test("each ref that needs an object is named, with the way from it", () => {
  using scratch = new Scratch();
  using repository = Repository.open(scratch.unpack(FULL));
  const keepers = findKeepers(repository, new Set([IN_LAYER, IN_IMAGE, "0".repeat(64) as ObjectId]));
  expect([...keepers.keys()].sort()).toEqual([IN_IMAGE, IN_LAYER]);
  expect(keepers.get(IN_IMAGE)).toEqual([
    { root: "images/refs/nested/dir/rootfs2", via: [IMAGE] },
    { root: "images/refs/rootfs", via: [IMAGE] },
  ]);
  const [keeper] = keepers.get(IN_LAYER)!;
  expect(keeper!.root).toBe("streams/refs/oci/myimg");
  expect(keeper!.via[0]).toBe(MANIFEST);
  expect(keeper!.via.at(-1)).toBe(LAYER);
});

test("an object that no ref keeps is one that gc removes", () => {
  using scratch = new Scratch();
  const path = scratch.unpack(FULL);
  using repository = Repository.open(path);
  const objects = [...new Bun.Glob("objects/??/*").scanSync(path)].map(
    (file) => file.slice(8).replace("/", "") as ObjectId,
  );
  const kept = findKeepers(repository, new Set(objects));
  collectGarbage(repository);
  for (const id of objects) expect(existsSync(join(path, "objects", objectPath(id)))).toBe(kept.has(id));
  expect(kept.size).toBe(22);
});

test("gc --why", async () => {
  using scratch = new Scratch();
  scratch.unpack(FULL);
  const run = (...words: string[]) =>
    inProcess({ argv: ["--repo", "r", "gc", "--why", ...words], rc: 0 }, scratch.path);
  const text = await run(`sha256:${IN_IMAGE}`);
  expect(text.stdout.toString()).toBe(
    `images/refs/nested/dir/rootfs2 -> ${IMAGE} -> sha256:${IN_IMAGE}\n` +
      `images/refs/rootfs -> ${IMAGE} -> sha256:${IN_IMAGE}\n`,
  );
  const json = await run(IN_IMAGE, "--json");
  expect(JSON.parse(json.stdout.toString())).toEqual({
    object: `sha256:${IN_IMAGE}`,
    kept_by: [
      { root: "images/refs/nested/dir/rootfs2", via: [IMAGE] },
      { root: "images/refs/rootfs", via: [IMAGE] },
    ],
  });
  expect(await run("0".repeat(64))).toMatchObject({ rc: 1, stdout: Buffer.alloc(0) });
  expect((await run("xyz")).rc).toBe(1);
});

test("fsck --strict-exit names the refs that need what is damaged", async () => {
  using scratch = new Scratch();
  const path = scratch.unpack(FULL);
  appendFileSync(join(path, "objects", objectPath(IN_IMAGE)), "x");
  rmSync(join(path, "objects", objectPath(IN_LAYER)));
  const argv = ["--repo", "r", "fsck", "--json", "--strict-exit"];
  const answer = await inProcess({ argv, rc: 1 }, scratch.path);
  expect(answer.rc).toBe(1);
  expect(JSON.parse(answer.stdout.toString())).toMatchObject({
    ok: false,
    affected: ["images/refs/nested/dir/rootfs2", "images/refs/rootfs", "streams/refs/oci/myimg"],
    findings: [
      {
        kind: "object-digest-mismatch",
        object: `sha256:${IN_IMAGE}`,
        affected: ["images/refs/nested/dir/rootfs2", "images/refs/rootfs"],
      },
      {
        kind: "missing-object-ref",
        path: LAYER,
        object: `sha256:${IN_LAYER}`,
        affected: ["streams/refs/oci/myimg"],
      },
      {
        kind: "image-missing-object",
        object: `sha256:${IN_LAYER}`,
        affected: ["streams/refs/oci/myimg"],
      },
    ],
  });
});

test.each(["repos/full-sha256.tar.gz", "repos/full-sha512.tar.gz"])(
  "a healthy repository stands a deep check: %s",
  async (archive) => {
    using scratch = new Scratch();
    using repository = Repository.open(scratch.unpack(archive));
    const report = await checkRepository(repository, { deep: true, jobs: 2 });
    expect(report).toMatchObject({ errors: [], objectsChecked: 24, streamsChecked: 5, imagesChecked: 2 });
  },
);

test.each([
  ["splitstream-ss-chunk-truncated-inline", "the splitstream ends inside inline data"],
  ["splitstream-ss-chunk-index-huge", "Splitstream external reference is out of range"],
  ["splitstream-ss-wrong-total-size", "it has 10211 bytes, but 1 are recorded in it"],
  ["splitstream-ss-missing-used-object-ref", "is missing from the repository"],
])("a deep check reads streams to their end: %s", async (name, message) => {
  using scratch = new Scratch();
  using repository = Repository.open(scratch.unpack(`repos/${name}.tar.gz`));
  const { errors, streamsCorrupted } = await checkRepository(repository, { deep: true });
  expect(errors.at(-1)).toStartWith("stream-content-invalid: streams/s: ");
  expect(errors.at(-1)).toContain(message);
  expect(streamsCorrupted).toBe(1);
});

test("a deep check notices a stream whose content is not what its name says", async () => {
  using scratch = new Scratch();
  const path = scratch.unpack(FULL);
  const wrong = `oci-layer-sha256:${"0".repeat(64)}`;
  Bun.spawnSync(["cp", "-a", join(path, LAYER), join(path, "streams", wrong)]);
  using repository = Repository.open(path);
  const { errors } = await checkRepository(repository, { deep: true });
  expect(errors).toEqual([
    `stream-content-invalid: streams/${wrong}: its content has the digest ${LAYER.slice(18)}`,
  ]);
});
