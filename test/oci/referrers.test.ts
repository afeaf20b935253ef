import { describe, expect, test } from "bun:test";
import {
  existsSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { loadRegistryConfiguration } from "../../src/oci/containers/configuration.ts";
import { type OciDigest, parseDigest } from "../../src/oci/digest.ts";
import { checkImages } from "../../src/oci/fsck.ts";
import { listTaggedImages } from "../../src/oci/list.ts";
import { openSource } from "../../src/oci/open-source.ts";
import { pullImage } from "../../src/oci/pull/pull.ts";
import { pullReferrers } from "../../src/oci/pull/referrers.ts";
import { parseReference } from "../../src/oci/reference.ts";
import {
  listReferrers,
  referrerCondition,
  sourceReferrers,
  storedReferrers,
} from "../../src/oci/referrers.ts";
import type { ImageSource } from "../../src/oci/source.ts";
import { removeTag } from "../../src/oci/tags.ts";
import { checkRepository } from "../../src/repository/fsck.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import { Repository } from "../../src/repository/repository.ts";
import { SHA256, SHA512 } from "../../src/verity/digest.ts";
import { addArtifact, MANIFEST_TYPE } from "../support/oci-artifact.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { findReference } from "../support/reference.ts";
import { startRegistry } from "../support/registry.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { newRepository, pull } from "./support.ts";

/** Of `{}`, as the OCI image specification gives it. */
const EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/** A layout with an image that two artifacts refer to, one of which another one refers to, and one on its own. */
function sampleLayout(dir: TempDir) {
  const layout = dir.join("layout");
  const [image] = writeLayout(layout, [
    { tag: "image", layers: [{ tar: writeTar([directory("usr/"), file("usr/x", noise(9000, 1))]) }] },
  ]);
  const subject = parseDigest(image!.manifest);
  const contents = addArtifact(layout, {
    tag: "contents",
    type: "application/spdx+json",
    subject,
    blobs: [noise(3_000_000, 2), noise(10, 3)],
    annotations: { made: "today" },
  });
  const signature = addArtifact(layout, { tag: "signature", type: "application/x-sig", subject });
  const below = addArtifact(layout, {
    tag: "below",
    subject: contents,
    blobs: [noise(50, 4)],
    config: { mediaType: "application/x-config", bytes: Buffer.from('{"a":1}') },
  });
  const alone = addArtifact(layout, { tag: "alone", type: "application/x-free", blobs: [noise(60, 5)] });
  return { layout, subject, contents, signature, below, alone };
}

const TAGS = ["image", "contents", "signature", "below", "alone"];

async function pullAll(repository: Repository, layout: string, tags = TAGS): Promise<void> {
  for (const tag of tags) await pull(repository, `oci:${layout}:${tag}`, { tag });
}

const gc = (repository: Repository) => collectGarbage(repository, { condition: referrerCondition });
const noWarning = (message: string) => {
  throw new Error(message);
};

describe.each([
  ["SHA-256", SHA256],
  ["SHA-512", SHA512],
])("in a repository of %s", (_, algorithm) => {
  test("what refers to an image is recorded and listed", async () => {
    using dir = tempDir();
    const { layout, subject, contents, signature, below } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), algorithm);
    await pullAll(repository, layout);
    await pull(repository, `oci:${layout}:contents`, { tag: "again" });
    expect(storedReferrers(repository, subject, noWarning)).toEqual(
      [
        {
          digest: contents,
          mediaType: MANIFEST_TYPE,
          artifactType: "application/spdx+json",
          size: expect.any(Number),
          annotations: new Map([["made", "today"]]),
          contentSize: 3_000_012,
          tags: ["again", "contents"],
        },
        {
          digest: signature,
          mediaType: MANIFEST_TYPE,
          artifactType: "application/x-sig",
          size: expect.any(Number),
          annotations: new Map(),
          contentSize: 2,
          tags: ["signature"],
        },
      ].sort((a, b) => (a.digest < b.digest ? -1 : 1)),
    );
    expect(storedReferrers(repository, contents, noWarning)).toMatchObject([
      { digest: below, artifactType: "application/x-config", contentSize: 57 },
    ]);
    expect(readlinkSync(join(repository.path, `streams/refs/oci-referrers/${subject}/${signature}`))).toBe(
      `../../../oci-manifest-${signature}`,
    );
    expect(
      listTaggedImages(repository, noWarning).map(({ name, referrerCount, artifactType }) => [
        name,
        referrerCount,
        artifactType,
      ]),
    ).toEqual([
      ["again", 1, "application/spdx+json"],
      ["alone", 0, "application/x-free"],
      ["below", 0, "application/x-config"],
      ["contents", 1, "application/spdx+json"],
      ["image", 2, undefined],
      ["signature", 0, "application/x-sig"],
    ]);
  });

  test("what refers to an image is checked with it", async () => {
    using dir = tempDir();
    const { layout, contents, below } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), algorithm);
    await pullAll(repository, layout);
    for (const tag of TAGS.slice(1)) removeTag(repository, tag);
    expect(checkImages(repository)).toEqual({ imagesChecked: 1, imagesCorrupted: 0, faults: [], errors: [] });
    for (const digest of [contents, below]) {
      const link = join(repository.path, `streams/oci-manifest-${digest}`);
      unlinkSync(realpathSync(link));
    }
    const kinds = checkImages(repository).errors.map((error) => error.split(": ").slice(0, 4).join(": "));
    expect(kinds.sort()).toEqual(
      [contents, below].map((digest) => `fsck: manifest-read-failed: image: ${digest}`).sort(),
    );
    expect(checkImages(repository, "image").imagesCorrupted).toBe(1);
  });

  test("composefs-rs sees the same and breaks nothing", async () => {
    const reference = findReference();
    if (reference === undefined) {
      console.log("skipped: composefs-rs is not installed");
      return;
    }
    using dir = tempDir();
    const { layout } = sampleLayout(dir);
    const path = dir.join("repo");
    {
      using repository = newRepository(path, algorithm);
      await pullAll(repository, layout);
      for (const tag of ["contents", "alone"]) removeTag(repository, tag);
      gc(repository);
    }
    const run = (...args: string[]) => {
      const { stdout, stderr, exitCode } = Bun.spawnSync([reference, "--repo", path, ...args]);
      expect(stderr.toString()).toBe("");
      expect(exitCode).toBe(0);
      return stdout.toString();
    };
    const { images } = JSON.parse(run("oci", "images", "--json"));
    expect(
      Object.fromEntries(
        images.map((i: { name: string; referrer_count: number }) => [i.name, i.referrer_count]),
      ),
    ).toEqual({
      image: 2,
      signature: 0,
      below: 0,
    });
    expect(JSON.parse(run("oci", "inspect", "image")).referrers).toHaveLength(2);
    expect(run("gc")).toContain("Objects: 0 removed");
    expect(run("oci", "fsck")).toContain("oci images: 3/3 ok");
    using repository = Repository.open(path);
    expect((await checkRepository(repository, { jobs: 1 })).errors).toEqual([]);
  });
});

describe("garbage collection", () => {
  test("keeps referrers without a tag as long as what they refer to", async () => {
    using dir = tempDir();
    const { layout, subject, contents, signature, below } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), SHA256);
    await pullAll(repository, layout);
    for (const tag of ["contents", "signature", "below", "alone"]) removeTag(repository, tag);
    gc(repository);
    const sorted = (...digests: OciDigest[]) => digests.sort();
    expect(Object.fromEntries(listReferrers(repository))).toEqual({
      [subject]: sorted(contents, signature),
      [contents]: [below],
    });
    expect((await checkRepository(repository, { jobs: 1 })).errors).toEqual([]);

    removeTag(repository, "image");
    const before = gc(repository);
    expect(listReferrers(repository).size).toBe(0);
    expect(before.objectsRemoved).toBeGreaterThan(10);
    expect(objectCount(repository)).toBe(0);
    expect(readdirSync(join(repository.path, "streams"))).toEqual(["refs"]);
  });

  test("leaves the link of a tagged referrer, and finds it again when its subject comes back", async () => {
    using dir = tempDir();
    const { layout, subject, signature } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), SHA256);
    // the referrer first
    await pullAll(repository, layout, ["signature", "image"]);
    removeTag(repository, "image");
    gc(repository);
    expect(listReferrers(repository).get(subject)).toEqual([signature]);
    expect((await checkRepository(repository, { jobs: 1 })).errors).toEqual([]);
    await pullAll(repository, layout, ["image"]);
    expect(storedReferrers(repository, subject, noWarning)).toHaveLength(1);
  });

  test("says in a dry run what it would do, and does nothing", async () => {
    using dir = tempDir();
    const { layout } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), SHA256);
    await pullAll(repository, layout);
    for (const tag of TAGS) removeTag(repository, tag);
    const objects = objectCount(repository);
    const dry = collectGarbage(repository, { condition: referrerCondition, dryRun: true });
    expect(dry.objectsRemoved).toBe(objects);
    expect(objectCount(repository)).toBe(objects);
    expect(listReferrers(repository).size).toBe(2);
    const { objectsRemoved, streamsPruned, imagesPruned } = gc(repository);
    expect(dry).toMatchObject({ objectsRemoved, streamsPruned, imagesPruned });
  });

  test("goes on after an interruption between the links and the objects", async () => {
    using dir = tempDir();
    const { layout, subject, signature } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), SHA256);
    await pullAll(repository, layout, ["image", "signature"]);
    for (const tag of ["image", "signature"]) removeTag(repository, tag);
    // what an interrupted run leaves at worst: the link is gone, the objects are there
    rmSync(join(repository.path, `streams/refs/oci-referrers/${subject}/${signature}`));
    await pullAll(repository, layout, ["image"]);
    gc(repository);
    expect((await checkRepository(repository, { jobs: 1 })).errors).toEqual([]);
    expect(existsSync(join(repository.path, `streams/oci-manifest-${signature}`))).toBe(false);
  });

  test("a link in a circle keeps nothing", async () => {
    using dir = tempDir();
    const { layout, signature } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), SHA256);
    await pullAll(repository, layout, ["signature"]);
    const own = join(repository.path, `streams/refs/oci-referrers/${signature}`);
    Bun.spawnSync(["mkdir", "-p", own]);
    symlinkSync(`../../../oci-manifest-${signature}`, join(own, signature));
    removeTag(repository, "signature");
    gc(repository);
    expect(objectCount(repository)).toBe(0);
  });

  test("without a condition every ref is a root", async () => {
    using dir = tempDir();
    const { layout, contents } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), SHA256);
    await pullAll(repository, layout, ["contents"]);
    removeTag(repository, "contents");
    collectGarbage(repository);
    expect(existsSync(join(repository.path, `streams/oci-manifest-${contents}`))).toBe(true);
  });
});

function objectCount(repository: Repository): number {
  return readdirSync(join(repository.path, "objects")).reduce(
    (sum, xx) => sum + readdirSync(join(repository.path, "objects", xx)).length,
    0,
  );
}

test("artifacts with the same empty config share its stream, and go one by one", async () => {
  using dir = tempDir();
  const { layout } = sampleLayout(dir);
  using repository = newRepository(dir.join("repo"), SHA256);
  const link = join(repository.path, `streams/oci-config-${EMPTY}`);
  await pullAll(repository, layout, ["signature"]);
  const config = readlinkSync(link);
  await pullAll(repository, layout, ["alone", "contents"]);
  expect(readlinkSync(link)).toBe(config);
  removeTag(repository, "contents");
  const { bytesRemoved } = gc(repository);
  // the large list of contents
  expect(bytesRemoved).toBeGreaterThan(3_000_000);
  expect((await checkRepository(repository, { jobs: 1 })).errors).toEqual([]);
});

describe("what refers to an image where it is", () => {
  test("is listed", async () => {
    using dir = tempDir();
    const { layout, subject, contents, signature } = sampleLayout(dir);
    using source = openSource(parseReference(`oci:${layout}:image`), -1);
    const found = await sourceReferrers(source);
    expect(found.map((f) => f.subject)).toEqual([subject]);
    expect(found[0]!.descriptors.map(({ digest }) => digest).sort()).toEqual([contents, signature].sort());
    const some = await sourceReferrers(source, "application/x-sig");
    expect(some[0]!.descriptors.map(({ digest }) => digest)).toEqual([signature]);
  });

  test("is left where it is when it refers to something else", async () => {
    using dir = tempDir();
    const { layout, subject, contents, signature } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), SHA256);
    using source = openSource(parseReference(`oci:${layout}:image`), repository.dir.fd);
    const { related } = source;
    const liar = {
      ...source,
      label: "somewhere",
      blobs: source.blobs,
      readDocument: source.readDocument.bind(source),
      related: {
        readDocument: related!.readDocument.bind(related),
        manifestByTag: related!.manifestByTag.bind(related),
        referrers: async (of: OciDigest) => (of === contents ? await related!.referrers(subject) : []),
      },
    } as ImageSource;
    expect((await related!.referrers(subject)).map(({ digest }) => digest)).toContain(signature);
    expect(await pullReferrers(repository, liar, [contents], { jobs: 1 })).toEqual([]);
  });

  test("comes along when it is asked for, with what refers to it in turn", async () => {
    using dir = tempDir();
    const { layout, subject, contents, signature, below } = sampleLayout(dir);
    using repository = newRepository(dir.join("repo"), SHA256);
    using source = openSource(parseReference(`oci:${layout}:image`), repository.dir.fd);
    await pull(repository, `oci:${layout}:image`, { tag: "image" });
    const reports = await pullReferrers(repository, source, [subject], { jobs: 1 });
    expect(reports.map(({ manifest }) => manifest).sort()).toEqual([contents, signature, below].sort());
    gc(repository);
    expect(listReferrers(repository).size).toBe(2);
    expect((await checkRepository(repository, { jobs: 1 })).errors).toEqual([]);
    expect(listTaggedImages(repository, noWarning).map(({ name }) => name)).toEqual(["image"]);
  });
});

test.each([true, false])(
  "a registry tells what refers to an image; with a list of referrers: %p",
  async (referrersApi) => {
    using dir = tempDir();
    const { layout, subject, contents, signature, below } = sampleLayout(dir);
    await using registry = await startRegistry({ referrersApi });
    registry.content.addLayout("team/app", layout);
    const name = `docker://${registry.host}/team/app:image`;
    using repository = newRepository(dir.join("repo"), SHA256);
    const configuration = loadRegistryConfiguration({ tlsVerify: false });
    using source = openSource(parseReference(name), repository.dir.fd, { registries: configuration });
    const listed = async () => (await sourceReferrers(source))[0]!.descriptors.map(({ digest }) => digest);
    if (!referrersApi) {
      // Without the list there would have to be an index tagged `sha256-HEX`.
      expect(await listed()).toEqual([]);
      return;
    }
    expect((await listed()).sort()).toEqual([contents, signature].sort());
    await pullImage(repository, source, { jobs: 1, tag: "image" });
    await pullReferrers(repository, source, [subject], { jobs: 1 });
    expect(Object.fromEntries(listReferrers(repository))).toEqual({
      [subject]: [contents, signature].sort(),
      [contents]: [below],
    });
    expect((await checkRepository(repository, { jobs: 1 })).errors).toEqual([]);
  },
);
