import { describe, expect, test } from "bun:test";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describeError } from "../../src/errors.ts";
import { checkImages } from "../../src/oci/fsck.ts";
import { openSource, type SourceOptions } from "../../src/oci/open-source.ts";
import { parsePlatform } from "../../src/oci/platform.ts";
import type { PullOptions } from "../../src/oci/pull/pull.ts";
import { type IndexReport, pullAllPlatforms } from "../../src/oci/pull-index.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { readStoredIndex, shareIndex } from "../../src/oci/stored-index.ts";
import { listTags, lookUpTag, removeTag, writeTag } from "../../src/oci/tags.ts";
import { checkRepository } from "../../src/repository/fsck.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { blobPath, digestOf, writeLayout } from "../support/oci-layout.ts";
import { directory, file, writeTar } from "../support/tar-writer.ts";
import { tempDir } from "../support/temp.ts";
import { newRepository, pull } from "./support.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const INDEX = "application/vnd.oci.image.index.v1+json";
const UNKNOWN = { os: "unknown", architecture: "unknown" };

interface Written {
  readonly index: string;
  readonly images: Readonly<Record<string, string>>;
}

/** A layout with an image for each architecture, an attestation for the first, and an index of them all, tagged `t`. */
function writeIndexed(path: string, architectures: readonly string[], salt = ""): Written {
  const images = writeLayout(
    path,
    architectures.map((architecture) => ({
      tag: architecture,
      layers: [
        {
          tar: writeTar([
            directory("usr"),
            file("usr/same", "s".repeat(100)),
            file("usr/own", architecture + salt),
          ]),
        },
      ],
      config: (config) => {
        config.architecture = architecture;
      },
    })),
  );
  const put = (mediaType: string, value: object) => {
    const bytes = Buffer.from(JSON.stringify(value));
    writeFileSync(blobPath(path, digestOf(bytes)), bytes);
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  // As docker's builder adds it: with the config of an image, and no tar.
  const statement = put("application/vnd.in-toto+json", { predicateType: "x" });
  const attestation = put(MANIFEST, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: put("application/vnd.oci.image.config.v1+json", {
      ...UNKNOWN,
      config: {},
      rootfs: { type: "layers", diff_ids: [statement.digest] },
    }),
    layers: [statement],
  });
  const index = put(INDEX, {
    schemaVersion: 2,
    mediaType: INDEX,
    manifests: [
      { ...attestation, platform: UNKNOWN },
      ...images.map(({ manifest }, i) => ({
        mediaType: MANIFEST,
        digest: manifest,
        size: readFileSync(blobPath(path, manifest)).length,
        platform: { os: "linux", architecture: architectures[i] },
      })),
    ],
  });
  const listed = { ...index, annotations: { "org.opencontainers.image.ref.name": "t" } };
  writeFileSync(join(path, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [listed] }));
  return {
    index: index.digest,
    images: {
      unknown: attestation.digest,
      ...Object.fromEntries(architectures.map((name, i) => [name, images[i]!.manifest])),
    },
  };
}

async function pullAll(
  repository: Repository,
  reference: string,
  options: PullOptions = {},
  sourceOptions: SourceOptions = {},
): Promise<IndexReport> {
  using source = openSource(parseReference(reference), repository.dir.fd, {
    platform: parsePlatform("linux/amd64"),
    anyPlatform: true,
    ...sourceOptions,
  });
  return await pullAllPlatforms(repository, source, { jobs: 1, ...options });
}

const manifestsIn = (repository: Repository) =>
  readdirSync(join(repository.path, "streams"))
    .filter((name) => name.startsWith("oci-manifest-"))
    .map((name) => name.slice("oci-manifest-".length))
    .sort();

describe("all images of an index", () => {
  test("are checked with it", async () => {
    using dir = tempDir();
    const { index, images } = writeIndexed(dir.join("l"), ["arm64", "amd64"]);
    using repository = newRepository(dir.join("r"), SHA256);
    await pullAll(repository, `oci:${dir.join("l")}:t`, { tag: "a/b:1" });
    const streams = join(repository.path, "streams");
    const damaged = (name: string, target?: string) => {
      const path = join(streams, name);
      const former = readlinkSync(path);
      unlinkSync(path);
      if (target !== undefined) symlinkSync(readlinkSync(join(streams, target)), path);
      const report = checkImages(repository);
      rmSync(path, { force: true });
      symlinkSync(former, path);
      return report;
    };
    const clean = { imagesChecked: 1, imagesCorrupted: 0, faults: [], errors: [] };
    expect(checkImages(repository)).toEqual(clean);
    expect(damaged(`oci-manifest-${images.arm64}`).errors).toEqual([
      `fsck: manifest-read-failed: a/b:1: ${images.arm64}: there is no manifest ${images.arm64}`,
    ]);
    expect(damaged(`oci-manifest-${images.arm64}`, `oci-manifest-${images.amd64}`).errors).toEqual([
      `fsck: manifest-digest-mismatch: a/b:1: ${images.arm64}: expected ${images.arm64}, got ${images.amd64}`,
    ]);
    const report = damaged(`oci-index-${index}`);
    expect(report.imagesCorrupted).toBe(1);
    expect(report.errors).toEqual([expect.stringContaining("fsck: index-read-failed: a/b:1: ")]);
    expect(damaged("refs/oci-indexes/a%2Fb:1/index").errors).toEqual([
      "fsck: index-read-failed: a/b:1: the link to the index is missing",
    ]);
    expect(checkImages(repository)).toEqual(clean);
  });

  test("are pulled and kept with it, as long as the tag", async () => {
    using dir = tempDir();
    const written = writeIndexed(dir.join("l"), ["arm64", "amd64"]);
    const { amd64, arm64, unknown } = written.images;
    using repository = newRepository(dir.join("r"), SHA256);
    const report = await pullAll(repository, `oci:${dir.join("l")}:t`, { tag: "a/b:1" });

    expect<unknown>(report.index).toBe(written.index);
    expect<unknown>(report.images.map(({ manifest }) => manifest)).toEqual([unknown, arm64, amd64]);
    expect(report.images.map(({ platform }) => platform?.architecture)).toEqual([
      undefined,
      "arm64",
      "amd64",
    ]);
    expect(report.tagged).toMatchObject({ manifest: amd64 as never, tag: "a/b:1", unchanged: false });
    expect(report.tagged.statistics).toMatchObject({ newObjects: 2, presentObjects: 1 });
    expect<unknown>(lookUpTag(repository, "a/b:1")).toBe(amd64);
    expect(listTags(repository)).toHaveLength(1);

    const stored = readStoredIndex(repository, "a/b:1")!;
    expect<string>(stored.digest).toBe(written.index);
    expect(Buffer.from(stored.bytes)).toEqual(readFileSync(blobPath(dir.join("l"), written.index)));
    expect(stored.index.manifests).toHaveLength(3);

    collectGarbage(repository);
    expect<unknown>(manifestsIn(repository)).toEqual([amd64, arm64, unknown].sort());
    expect(await checkRepository(repository)).toMatchObject({ errors: [] });
    const again = await pullAll(repository, `oci:${dir.join("l")}:t`, { tag: "a/b:1" });
    expect(again.tagged.unchanged).toBe(true);

    removeTag(repository, "a/b:1");
    expect(readStoredIndex(repository, "a/b:1")).toBeUndefined();
    collectGarbage(repository);
    expect(manifestsIn(repository)).toEqual([]);
    expect(readdirSync(join(repository.path, "streams"))).toEqual(["refs"]);
  });

  test("of which none is for the platform: the first is tagged", async () => {
    using dir = tempDir();
    const written = writeIndexed(dir.join("l"), ["s390x", "arm64"]);
    using repository = newRepository(dir.join("r"), SHA256);
    const report = await pullAll(repository, `oci:${dir.join("l")}:t`, { tag: "x" });
    expect<unknown>(report.tagged.manifest).toBe(written.images.s390x);
  });

  test("of which another one is wanted", async () => {
    using dir = tempDir();
    const written = writeIndexed(dir.join("l"), ["amd64", "arm64"]);
    using repository = newRepository(dir.join("r"), SHA256);
    const platform = parsePlatform("linux/arm64");
    const report = await pullAll(repository, `oci:${dir.join("l")}:t`, { tag: "x" }, { platform });
    expect<unknown>(report.tagged.manifest).toBe(written.images.arm64);
  });

  test("without a tag leave no refs", async () => {
    using dir = tempDir();
    writeIndexed(dir.join("l"), ["amd64"]);
    using repository = newRepository(dir.join("r"), SHA256);
    expect((await pullAll(repository, `oci:${dir.join("l")}:t`)).tagged.tag).toBeUndefined();
    expect(readdirSync(join(repository.path, "streams"))).not.toContain("refs");
  });

  test("a lone image has no index", async () => {
    using dir = tempDir();
    const [image] = writeLayout(dir.join("l"), [
      { tag: "t", layers: [{ tar: writeTar([directory("usr")]) }] },
    ]);
    using repository = newRepository(dir.join("r"), SHA256);
    const report = await pullAll(repository, `oci:${dir.join("l")}:t`, { tag: "x" });
    expect(report).toMatchObject({ index: undefined, tagged: { manifest: image!.manifest as never } });
    expect(readStoredIndex(repository, "x")).toBeUndefined();
  });
});

describe("the index of a tag", () => {
  const setUp = async (path: string) => {
    mkdirSync(path, { recursive: true });
    const written = writeIndexed(join(path, "l"), ["amd64", "arm64"]);
    const repository = newRepository(join(path, "r"), SHA256);
    await pullAll(repository, `oci:${join(path, "l")}:t`, { tag: "x" });
    return { written, repository };
  };

  test("goes when another image takes its name", async () => {
    using dir = tempDir();
    const { repository, written } = await setUp(dir.path);
    using _ = repository;
    const [other] = writeLayout(dir.join("o"), [
      { tag: "t", layers: [{ tar: writeTar([directory("usr")]) }] },
    ]);
    await pull(repository, `oci:${dir.join("o")}:t`, { tag: "x" });
    expect(readStoredIndex(repository, "x")).toBeUndefined();
    collectGarbage(repository);
    expect(manifestsIn(repository)).toEqual([other!.manifest]);
    expect(other!.manifest).not.toBe(written.images.amd64!);
  });

  test("is replaced by a later one, of which older images go", async () => {
    using dir = tempDir();
    const { repository } = await setUp(dir.path);
    using _ = repository;
    const later = writeIndexed(dir.join("later"), ["amd64", "s390x"], "later");
    await pullAll(repository, `oci:${dir.join("later")}:t`, { tag: "x" });
    expect<string | undefined>(readStoredIndex(repository, "x")?.digest).toBe(later.index);
    collectGarbage(repository);
    expect<unknown>(manifestsIn(repository)).toEqual(Object.values(later.images).sort());
  });

  test("stays when the tag moves to another of its images", async () => {
    using dir = tempDir();
    const { repository, written } = await setUp(dir.path);
    using _ = repository;
    writeTag(repository, written.images.arm64 as never, "x");
    expect<string | undefined>(readStoredIndex(repository, "x")?.digest).toBe(written.index);
  });

  test("does not count when another program moved the tag", async () => {
    using dir = tempDir();
    const { repository } = await setUp(dir.path);
    using _ = repository;
    const [other] = writeLayout(dir.join("o"), [
      { tag: "t", layers: [{ tar: writeTar([directory("usr")]) }] },
    ]);
    await pull(repository, `oci:${dir.join("o")}:t`, { tag: "y" });
    const tags = join(repository.path, "streams/refs/oci");
    Bun.spawnSync(["ln", "-sfn", `../../oci-manifest-${other!.manifest}`, join(tags, "x")]);
    expect(readStoredIndex(repository, "x")).toBeUndefined();
  });

  test("goes with untag although another program removed the tag", async () => {
    using dir = tempDir();
    const { repository } = await setUp(dir.path);
    using _ = repository;
    Bun.spawnSync(["rm", join(repository.path, "streams/refs/oci/x")]);
    removeTag(repository, "x");
    collectGarbage(repository);
    expect(manifestsIn(repository)).toEqual([]);
    expect(() => removeTag(repository, "x")).toThrow("there is no tag x");
  });

  test("is shared with another tag", async () => {
    using dir = tempDir();
    const { repository, written } = await setUp(dir.path);
    using _ = repository;
    writeTag(repository, written.images.amd64 as never, "y");
    shareIndex(repository, "x", "y");
    shareIndex(repository, "nothing", "y");
    removeTag(repository, "x");
    collectGarbage(repository);
    expect<string | undefined>(readStoredIndex(repository, "y")?.digest).toBe(written.index);
    expect<unknown>(manifestsIn(repository)).toEqual(Object.values(written.images).sort());
  });

  test("that is damaged is noticed", async () => {
    using dir = tempDir();
    const { repository, written } = await setUp(dir.path);
    using _ = repository;
    Bun.spawnSync(["rm", join(repository.path, `streams/oci-index-${written.index}`)]);
    expect(() => readStoredIndex(repository, "x")).toThrow("there is no index");
  });
});

describe("refused:", () => {
  const damage = async (change: (index: { manifests: Record<string, unknown>[] }) => void) => {
    using dir = tempDir();
    const written = writeIndexed(dir.join("l"), ["amd64"]);
    const index = JSON.parse(readFileSync(blobPath(dir.join("l"), written.index), "utf8"));
    change(index);
    writeFileSync(join(dir.join("l"), "index.json"), JSON.stringify(index));
    using repository = newRepository(dir.join("r"), SHA256);
    const failure = await pullAll(repository, `oci:${dir.join("l")}`, { tag: "x" }).catch(describeError);
    expect(listTags(repository)).toEqual([]);
    return failure;
  };

  test.each<[string, (manifests: Record<string, unknown>[]) => void, string]>([
    ["a manifest that is missing", (all) => all.push({ ...all[1], digest: `sha256:${"0".repeat(64)}` }), "does not exist"],
    ["what is no manifest", (all) => all.push({ ...all[1], mediaType: "text/plain", digest: `sha256:${"0".repeat(64)}` }), "which is no manifest"],
    ["too many", (all) => all.push(...Array.from({ length: 1001 }, (_, i) => ({ ...all[1], digest: digestOf(Buffer.from(`${i}`)) }))), "at most 1000 are pulled"],
    ["a manifest of another size", (all) => { all[0]!.size = 1; }, "Expected size 1"],
  ])("%s", async (_, change, message) => {
    expect(await damage(({ manifests }) => change(manifests))).toContain(message);
  }); // biome-ignore format: one line a case
});
