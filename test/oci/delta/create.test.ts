import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { CfsError } from "../../../src/errors.ts";
import { type CreatedDelta, createDelta } from "../../../src/oci/delta/create/create-delta.ts";
import { sourceDeltaImage, storedDeltaImage } from "../../../src/oci/delta/create/delta-image.ts";
import { TemporaryRepository } from "../../../src/oci/delta/create/temporary-repository.ts";
import { inspectDelta } from "../../../src/oci/delta/inspect.ts";
import { openSource } from "../../../src/oci/open-source.ts";
import { ArchiveTarget } from "../../../src/oci/push/archive-target.ts";
import { LayoutTarget } from "../../../src/oci/push/layout-target.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { SHA256, SHA512 } from "../../../src/verity/digest.ts";
import { blobPath, type LayerSpec, type WrittenImage, writeLayout } from "../../support/oci-layout.ts";
import { directory, file, noise, type TarItem, writeTar } from "../../support/tar-writer.ts";
import { type TempDir, tempDir, tempDirInMemory } from "../../support/temp.ts";
import { newRepository, pull } from "../support.ts";
import { contentsOf, unpackFixture } from "./support.ts";

interface Settings {
  readonly version?: 1 | 2;
  readonly jobs?: number;
  /** Names in it are preferred to layouts. */
  readonly repository?: Repository;
  readonly archive?: boolean;
}

/** Makes a delta between layouts, or between tags of a repository. */
async function create(
  from: string,
  to: string,
  path: string,
  settings: Settings = {},
): Promise<CreatedDelta> {
  const { version = 1, jobs = 1, repository, archive = false } = settings;
  using own = tempDirInMemory(64 * 1024 * 1024);
  using opened = new DisposableStack();
  let temporary: Repository | undefined;
  const makeTemporary = () => {
    temporary ??= opened.use(new TemporaryRepository(own.path, repository?.algorithm ?? SHA256)).repository;
    return temporary;
  };
  const open = async (name: string) =>
    repository !== undefined && !name.includes(":")
      ? storedDeltaImage(repository, name)
      : sourceDeltaImage(opened.use(openSource(parseReference(name), makeTemporary().dir.fd)));
  await using target = archive ? new ArchiveTarget(path, undefined) : new LayoutTarget(path, undefined);
  return await createDelta(await open(from), await open(to), target, repository, makeTemporary, {
    version,
    jobs,
    isTagged: true,
  });
}

/** Pulls the source and then the delta: the repository must be as if the target had been pulled. */
async function expectApplied(source: string, target: string, delta: string): Promise<void> {
  using own = tempDirInMemory(256 * 1024 * 1024);
  using plain = newRepository(own.join("plain"), SHA256);
  using patched = newRepository(own.join("patched"), SHA256);
  for (const repository of [plain, patched]) await pull(repository, source, { tag: "source" });
  const expected = await pull(plain, target, { tag: "target" });
  const found = await pull(patched, delta, { tag: "target" });
  expect([found.manifest, found.config, found.verity]).toEqual([
    expected.manifest,
    expected.config,
    expected.verity,
  ]);
  expect(contentsOf(patched.path)).toEqual(contentsOf(plain.path));
}

let scratch: TempDir;
beforeAll(() => {
  scratch = tempDir();
  unpackFixture("creator", scratch.path);
});
afterAll(() => scratch[Symbol.dispose]());

const PAIRS = [
  "c01-dir-whiteout",
  "c02-replaced-by-symlink",
  "c03-replaced-by-empty",
  "c04-replaced-by-unreadable",
  "c05-non-utf8-name",
  "c06-original-zstd",
  "c07-original-uncompressed-labelled",
  "c08-multi-member-gzip",
  "c09-hardlink-to-lower-layer",
  "c10-file-over-dir",
  "c11-same-content-many-names",
  "c12-dot-slash-names",
  "c13-gnu-sparse-free",
  "c14-opaque",
];

describe("images from which other tools make deltas that can't be applied", () => {
  test("all of them are here", () => {
    expect(readdirSync(scratch.join("creator")).sort()).toEqual(PAIRS);
  });

  test.each(PAIRS)("%s", async (name) => {
    const [source, target] = ["source", "target"].map((side) => `oci:${scratch.join("creator", name, side)}`);
    for (const version of [1, 2] as const) {
      using own = tempDirInMemory(16 * 1024 * 1024);
      await create(source!, target!, own.join("delta"), { version });
      await expectApplied(source!, target!, `oci:${own.join("delta")}`);
    }
  });
});

function layerOf(items: readonly TarItem[]): LayerSpec {
  return { tar: writeTar([directory("usr/"), ...items]) };
}

function image(path: string, ...layers: readonly (LayerSpec | readonly TarItem[])[]): WrittenImage {
  const specs = layers.map((layer) => ("tar" in layer ? layer : layerOf(layer)));
  return writeLayout(path, [{ tag: "t", layers: specs }])[0]!;
}

describe("what is in a delta", () => {
  const shared: LayerSpec = layerOf([file("usr/shared", noise(5000, 1))]);
  const program = noise(300_000, 2);
  const text = Buffer.from(noise(30_000, 3)).toString("base64");
  const patched = Buffer.concat([program.subarray(0, 1000), noise(10, 4), program.subarray(1000)]);

  let own: TempDir;
  let target: WrittenImage;
  beforeAll(() => {
    own = tempDir();
    image(own.join("old"), shared, [
      file("usr/program", program),
      file("usr/text", text),
      file("usr/kept", noise(20_000, 5)),
    ]);
    target = image(
      own.join("new"),
      shared,
      [
        file("usr/program", patched),
        file("usr/text", text.replaceAll("a", "b")),
        file("usr/elsewhere", noise(20_000, 5)),
        file("usr/parts", Buffer.concat([noise(100, 6), program.subarray(40_000, 60_000), noise(99, 7)])),
      ],
      // Only this can't be had in a smaller form.
      { ...layerOf([file("usr/random", noise(100_000, 8))]), packing: "plain" },
    );
  });
  afterAll(() => own[Symbol.dispose]());

  const make = (name: string, settings: Settings = {}) =>
    create(`oci:${own.join("old")}`, `oci:${own.join("new")}`, own.join(name), settings);
  const inspect = async (reference: string) => {
    using repository = newRepository(own.join(`inspecting-${reference.replace(/\W/g, "")}`), SHA256);
    using source = openSource(parseReference(reference), repository.dir.fd);
    return await inspectDelta(source);
  };

  test("the manifest says what it is between, and names every part", async () => {
    const created = await make("manifest");
    const index = JSON.parse(readFileSync(own.join("manifest/index.json"), "utf8"));
    expect(index.manifests.map(({ digest }: { digest: string }) => digest)).toEqual([created.manifest]);
    const manifest = JSON.parse(readFileSync(blobPath(own.join("manifest"), created.manifest), "utf8"));
    const prefix = "io.github.containers.delta.";
    expect(Object.keys(manifest)).toEqual([
      ...["schemaVersion", "artifactType", "config", "layers", "subject", "annotations"],
    ]);
    expect(manifest.subject.digest).toBe(target.manifest);
    expect(manifest.annotations).toEqual({
      [`${prefix}reused`]: JSON.stringify([target.layers[0]!.digest]),
      [`${prefix}reused-diff-id`]: JSON.stringify([target.layers[0]!.diffId]),
      [`${prefix}source`]: created.source.manifest,
      [`${prefix}source-config`]: created.source.config,
      [`${prefix}target`]: target.manifest,
    });
    const parts = manifest.layers as { digest: string; size: number; annotations: Record<string, string> }[];
    expect(parts.map(({ annotations }) => annotations)).toEqual([
      { [`${prefix}content`]: "image-manifest" },
      { [`${prefix}content`]: "image-config" },
      { [`${prefix}content`]: "image-layer", [`${prefix}to`]: target.layers[1]!.digest },
      { [`${prefix}content`]: "image-layer", [`${prefix}to`]: target.layers[2]!.digest },
    ]);
    for (const { digest, size } of [...parts, manifest.config]) {
      const bytes = readFileSync(blobPath(own.join("manifest"), digest));
      expect([`sha256:${createHash("sha256").update(bytes).digest("hex")}`, bytes.length]).toEqual([
        digest,
        size,
      ]);
    }
  });

  test("files are copied and patched, wherever they come from", async () => {
    await make("inspected");
    const { layers } = await inspect(`oci:${own.join("inspected")}`);
    expect(layers.map(({ part }) => part === undefined)).toEqual([true, false, false]);
    const { summary } = layers[1]!;
    // All but text, headers and the few bytes between what is taken from elsewhere.
    expect(summary!.copied).toBeGreaterThan(300_000 + 20_000 + 20_000 - 2000);
    expect(summary!.added + summary!.patched).toBeLessThan(text.length + 10_000);
    expect(summary!.copied + summary!.added + summary!.patched).toBe(
      writeTar([
        directory("usr/"),
        ...[patched.length, text.length, 20_000, 20_199].map((size) => file("f", new Uint8Array(size))),
      ]).length,
    );
    await expectApplied(`oci:${own.join("old")}`, `oci:${own.join("new")}`, `oci:${own.join("inspected")}`);
  });

  test("the same images give the same delta: with more threads, from the repository, in an archive", async () => {
    const { manifest } = await make("one");
    expect((await make("two", { jobs: 2 })).manifest).toBe(manifest);
    expect((await make("archive.tar", { archive: true })).manifest).toBe(manifest);
    for (const algorithm of [SHA256, SHA512]) {
      using repository = newRepository(own.join(`of-${algorithm.hash}`), algorithm);
      await pull(repository, `oci:${own.join("old")}`, { tag: "old" });
      const half = await create("old", `oci:${own.join("new")}`, own.join(`half-${algorithm.hash}`), {
        repository,
      });
      expect(half.manifest).toBe(manifest);
      await pull(repository, `oci:${own.join("new")}`, { tag: "new", keepBlobs: true });
      const both = await create("old", "new", own.join(`both-${algorithm.hash}`), { repository });
      expect(both.manifest).toBe(manifest);
    }
    await expectApplied(
      `oci:${own.join("old")}`,
      `oci:${own.join("new")}`,
      `oci-archive:${own.join("archive.tar")}`,
    );
  });

  test("between an image and itself there is nothing", async () => {
    const { layers } = await create(`oci:${own.join("old")}`, `oci:${own.join("old")}`, own.join("same"));
    expect(layers.every(({ delta }) => delta === undefined)).toBe(true);
  });

  test("a layer that is damaged is noticed, and nothing is written", async () => {
    using repository = newRepository(own.join("damaged"), SHA256);
    await pull(repository, `oci:${own.join("old")}`, { tag: "old" });
    await pull(repository, `oci:${own.join("new")}`, { tag: "new" });
    const objects = contentsOf(repository.path).objects.map((line) => line.trim());
    const largest = objects
      .map((path) => ({ path, size: Bun.file(`${repository.path}/${path}`).size }))
      .sort((a, b) => b.size - a.size)
      .slice(0, 2);
    for (const { path, size } of largest) {
      const whole = await Bun.file(`${repository.path}/${path}`).bytes();
      await Bun.write(`${repository.path}/${path}`, noise(size, 99));
      await expect(create("old", "new", own.join("unwritten"), { repository })).rejects.toThrow(CfsError);
      await Bun.write(`${repository.path}/${path}`, whole);
    }
    expect(existsSync(own.join("unwritten/index.json"))).toBe(false);
  });
});

test("layers are embedded as published where that is smaller, unless it can't be read everywhere", async () => {
  using own = tempDirInMemory(16 * 1024 * 1024);
  const random = (packing: LayerSpec["packing"], seed: number): LayerSpec => ({
    ...layerOf([file("usr/random", noise(5000, seed))]),
    ...(packing !== undefined && { packing }),
  });
  image(own.join("old"), [file("usr/a", "a")]);
  const packings = ["gzip", "gzip-members", "zstd", "plain"] as const;
  const path = own.join("new");
  image(path, ...packings.map(random));
  const { layers } = await create(`oci:${own.join("old")}`, `oci:${path}`, own.join("delta"));
  const kinds = layers.map(({ digest, delta }) =>
    delta!.digest === digest ? "as published" : delta!.mediaType,
  );
  expect(kinds[1]).toBe("application/vnd.tar-diff");
  await expectApplied(`oci:${own.join("old")}`, `oci:${path}`, `oci:${own.join("delta")}`);
});

describe("a temporary repository", () => {
  test("is removed, and so is one that was left behind; not one in use", () => {
    using own = tempDirInMemory(1024 * 1024);
    const names = () => readdirSync(own.path).length;
    {
      using _ = new TemporaryRepository(own.path, SHA256);
      expect(names()).toBe(1);
      using __ = new TemporaryRepository(own.path, SHA256);
      expect(names()).toBe(2);
    }
    expect(names()).toBe(0);
    newRepository(own.join("cfsctl-delta-abandoned"), SHA256)[Symbol.dispose]();
    expect(names()).toBe(1);
    {
      using _ = new TemporaryRepository(own.path, SHA256);
      expect(names()).toBe(1);
    }
    expect(names()).toBe(0);
  });
});
