import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { describeError } from "../../../src/errors.ts";
import { loadRegistryConfiguration } from "../../../src/oci/containers/configuration.ts";
import { hasSource } from "../../../src/oci/delta/source-image.ts";
import { openSource } from "../../../src/oci/open-source.ts";
import { type PullOptions, type PullReport, pullImage } from "../../../src/oci/pull/pull.ts";
import { pullAllPlatforms } from "../../../src/oci/pull-index.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { ProgressEvent } from "../../../src/progress.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { type ImageSpec, type WrittenImage, writeLayout } from "../../support/oci-layout.ts";
import { startRegistry } from "../../support/registry.ts";
import { addDelta, type DeltaSpec, type DiffOp, tarDiff } from "../../support/tar-diff.ts";
import { directory, file, noise, writeTar } from "../../support/tar-writer.ts";
import { type TempDir, tempDirInMemory } from "../../support/temp.ts";
import { newRepository } from "../support.ts";
import { contentsOf } from "./support.ts";

const OLD = { a: noise(300_000, 1), b: noise(5000, 2), c: noise(900_000, 3) };

/** The old file with some bytes changed, and the operations that make it of the open one. */
function changed(bytes: Uint8Array): { bytes: Uint8Array; ops: DiffOp[] } {
  const addends = new Uint8Array(bytes.length);
  addends[1000] = 7;
  return { bytes: bytes.map((byte, i) => byte + addends[i]!), ops: [{ op: "add", bytes: addends }] };
}

function layerWith(bodies: Readonly<Record<string, Uint8Array>>): Buffer {
  return writeTar([
    directory("usr/"),
    ...Object.entries(bodies).map(([name, body]) => file(`usr/${name}`, body)),
  ]);
}

/** Operations that make a tar whose file of each name is made by the given ones, and its other bytes by themselves. */
function opsFor(
  tar: Uint8Array,
  bodies: Readonly<Record<string, { bytes: Uint8Array; ops: readonly DiffOp[] }>>,
): DiffOp[] {
  const ops: DiffOp[] = [];
  let at = 0;
  for (const { bytes, ops: own } of Object.values(bodies)) {
    const start = Buffer.from(tar).indexOf(bytes, at);
    ops.push({ op: "data", bytes: tar.subarray(at, start) }, ...own);
    at = start + bytes.length;
  }
  return [...ops, { op: "data", bytes: tar.subarray(at) }];
}

interface Sample {
  readonly layout: string;
  readonly source: WrittenImage;
  readonly target: WrittenImage;
  readonly other: WrittenImage;
  readonly delta: string;
}

const NEW_A = changed(OLD.a);
const SHARED = { tar: layerWith({ shared: noise(2000, 9) }) };
const TARGET_TAR = layerWith({ a: NEW_A.bytes, c: OLD.c });
const TARGET_DIFF = tarDiff(
  1,
  opsFor(TARGET_TAR, {
    a: { bytes: NEW_A.bytes, ops: [{ op: "open", name: "usr/a" }, ...NEW_A.ops] },
    c: {
      bytes: OLD.c,
      ops: [
        { op: "open", name: "usr/c" },
        { op: "copy", size: OLD.c.length },
      ],
    },
  }),
);

/** Images 41 and 42, another one, and a delta from 41 to 42 of one layer; the other one they share. */
function sample(
  dir: TempDir,
  more: Partial<DeltaSpec> & { readonly source41?: Partial<ImageSpec> } = {},
): Sample {
  const layout = dir.join("layout");
  const [source, target, other] = writeLayout(layout, [
    { tag: "41", layers: [SHARED, { tar: layerWith(OLD) }] },
    { tag: "42", layers: [SHARED, { tar: TARGET_TAR }], ...more.source41 },
    { tag: "other", layers: [{ tar: layerWith({ x: noise(500, 4) }) }] },
  ]) as [WrittenImage, WrittenImage, WrittenImage];
  const delta = addDelta({
    layout,
    source,
    target,
    layers: { 1: { blob: TARGET_DIFF } },
    tag: "41to42",
    ...more,
  });
  return { layout, source, target, other, delta };
}

async function pull(
  repository: Repository,
  reference: string,
  options: PullOptions = {},
): Promise<PullReport> {
  const registries = loadRegistryConfiguration({ tlsVerify: false });
  using source = openSource(parseReference(reference), repository.dir.fd, {
    registries,
    hasImage: (config) => hasSource(repository, config),
  });
  return await pullImage(repository, source, { jobs: 1, ...options });
}

/** A frame that no decoder looks at. */
function skippable(size: number): Buffer {
  const frame = Buffer.alloc(8 + size);
  frame.writeUInt32LE(0x184d2a50, 0);
  frame.writeUInt32LE(size, 4);
  return frame;
}

const MEGABYTES = 64 * 1024 * 1024;

/** What a repository holds that has pulled the images as they are. */
async function plain(dir: TempDir, layout: string, tags: readonly string[]) {
  using repository = newRepository(dir.join("plain"), SHA256);
  for (const tag of tags) await pull(repository, `oci:${layout}:${tag}`, { tag });
  return contentsOf(dir.join("plain"));
}

describe("a delta in a registry", () => {
  test("is applied, and only its blobs are fetched", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout, target, delta } = sample(dir);
    await using registry = await startRegistry();
    registry.content.addLayout("os", layout);
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `docker://${registry.host}/os:41`, { tag: "41" });
    registry.clearRequests();
    const report = await pull(repository, `docker://${registry.host}/os:41to42`, { tag: "42" });
    expect([report.manifest as string, report.delta as string]).toEqual([target.manifest, delta]);
    expect(registry.requestsTo("/blobs/").length).toBe(3);
    expect(registry.traffic(target.layers[1]!.digest).bytes).toBe(0);
    expect(contentsOf(dir.join("r"))).toEqual(await plain(dir, layout, ["41", "42"]));

    expect((await pull(repository, `docker://${registry.host}/os:41to42`, { tag: "42" })).unchanged).toBe(
      true,
    );
  });

  test("without its source says which image is needed, and fetches no layer", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout, source } = sample(dir);
    await using registry = await startRegistry();
    registry.content.addLayout("os", layout);
    using repository = newRepository(dir.join("r"), SHA256);
    const failure = await pull(repository, `docker://${registry.host}/os:41to42`).catch(describeError);
    expect(failure).toContain(`based on an image with config ${source.config}, but it is not present`);
    expect(registry.requestsTo("/blobs/").length).toBe(2);
  });

  test("goes on where a connection broke", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout } = sample(dir, {
      layers: { 1: { blob: tarDiff(1, [{ op: "data", bytes: TARGET_TAR }]) } },
    });
    await using registry = await startRegistry();
    registry.content.addLayout("os", layout);
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `docker://${registry.host}/os:41`, { tag: "41" });
    registry.clearRequests();
    registry.fault("/v2/os/blobs/", { cutAfter: 400_000 }, { times: 2, from: 3 });
    await pull(repository, `docker://${registry.host}/os:41to42`, { tag: "42" });
    expect(registry.requestsTo("/blobs/").length).toBe(5);
    expect(contentsOf(dir.join("r"))).toEqual(await plain(dir, layout, ["41", "42"]));
  });
});

describe("looking for a delta", () => {
  test.each([true, false])("in a registry that lists referrers: %p", async (referrersApi) => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout, target, delta } = sample(dir);
    await using registry = await startRegistry({ referrersApi });
    registry.content.addLayout("os", layout);
    if (!referrersApi) addReferrersTag(registry.content, layout, target.manifest, delta);
    using repository = newRepository(dir.join("r"), SHA256);
    const image = (tag: string) => `docker://${registry.host}/os:${tag}`;
    expect((await pull(repository, image("41"), { tag: "41", delta: "auto" })).delta).toBeUndefined();
    expect((await pull(repository, image("42"), { tag: "42", delta: "auto" })).delta as string).toBe(delta);
    expect(registry.traffic(target.layers[1]!.digest).bytes).toBe(0);
    expect(contentsOf(dir.join("r"))).toEqual(await plain(dir, layout, ["41", "42"]));
  });

  test("in a layout; not at all unless asked for", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout, delta } = sample(dir);
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `oci:${layout}:41`, { tag: "41" });
    using other = newRepository(dir.join("other"), SHA256);
    await pull(other, `oci:${layout}:41`, { tag: "41" });
    expect((await pull(repository, `oci:${layout}:42`)).delta).toBeUndefined();
    expect((await pull(other, `oci:${layout}:42`, { delta: "require" })).delta as string).toBe(delta);
  });

  test("takes the smallest, and none that is larger than what is missing", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout, source, target, other, delta } = sample(dir);
    const large = Buffer.concat([tarDiff(1, [{ op: "data", bytes: TARGET_TAR }]), skippable(100_000)]);
    const blob = Buffer.concat([TARGET_DIFF, skippable(100)]);
    addDelta({ layout, source, target, layers: { 1: { blob } } });
    const fromOther = addDelta({ layout, source: other, target, layers: { 1: { blob: large } } });
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `oci:${layout}:other`);
    const failure = await pull(repository, `oci:${layout}:42`, { delta: "require" }).catch(describeError);
    expect(failure).toContain("there is no delta from an image in the repository");
    expect(fromOther).not.toBe(delta);
    await pull(repository, `oci:${layout}:41`);
    expect((await pull(repository, `oci:${layout}:42`, { delta: "auto" })).delta as string).toBe(delta);
  });

  test.each<[string, DiffOp[] | Buffer]>([
    ["it is damaged", Buffer.from("tardf1\n\0 and nothing more")],
    ["it makes another layer", [{ op: "data", bytes: layerWith({ y: noise(900, 1) }) }]],
    ["it needs a file that is not there", [{ op: "open", name: "usr/nothing" }]],
  ])("takes the image when %s, unless a delta is required", async (_, wrong) => {
    using dir = tempDirInMemory(MEGABYTES);
    const blob = Buffer.isBuffer(wrong) ? wrong : tarDiff(1, wrong);
    const { layout } = sample(dir, { layers: { 1: { blob } } });
    await using registry = await startRegistry();
    registry.content.addLayout("os", layout);
    const image = (tag: string) => `docker://${registry.host}/os:${tag}`;
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, image("41"), { tag: "41" });
    const before = contentsOf(dir.join("r")).links;
    await expect(pull(repository, image("42"), { tag: "42", delta: "require" })).rejects.toThrow();
    expect(contentsOf(dir.join("r")).links).toEqual(before);
    const events: ProgressEvent[] = [];
    const progress = { event: (event: ProgressEvent) => events.push(event) };
    const report = await pull(repository, image("42"), { tag: "42", delta: "auto", progress });
    expect(report.delta).toBeUndefined();
    const messages = events.flatMap((event) => (event.type === "message" ? [event.text] : []));
    expect(messages).toEqual([
      expect.stringMatching(/^taking delta sha256:\w+: \d+ bytes instead of \d+$/),
      expect.stringContaining("the delta can't be used, taking the image: "),
    ]);
    expect(readdirSync(dir.join("r", "tmp"))).toEqual([]);
    const { links } = await plain(dir, layout, ["41", "42"]);
    expect(contentsOf(dir.join("r")).links).toEqual(links);
  });

  test("a registry that fails to list them is no obstacle", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout } = sample(dir);
    await using registry = await startRegistry();
    registry.content.addLayout("os", layout);
    registry.fault("/v2/os/referrers/", { status: 401 }, { times: Number.POSITIVE_INFINITY });
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `docker://${registry.host}/os:41`);
    expect(
      (await pull(repository, `docker://${registry.host}/os:42`, { delta: "auto" })).delta,
    ).toBeUndefined();
  });
});

/** Lists a delta under the tag where clients look that find no API for it. */
function addReferrersTag(
  content: Awaited<ReturnType<typeof startRegistry>>["content"],
  layout: string,
  subject: string,
  delta: string,
): void {
  const size = Bun.file(`${layout}/blobs/${delta.replace(":", "/")}`).size;
  const mediaType = "application/vnd.oci.image.index.v1+json";
  const manifest = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: delta,
    size,
    artifactType: "application/vnd.io.github.containers.oci-delta.v1",
  };
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests: [manifest] }));
  content.addManifest("os", index, mediaType, subject.replace(":", "-"));
}

describe("which delta of a layout", () => {
  test("is the one from an image that is here", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout, source, target, other, delta } = sample(dir);
    const whole = tarDiff(1, [{ op: "data", bytes: TARGET_TAR }]);
    const fromOther = addDelta({ layout, source: other, target, layers: { 1: { blob: whole } } });
    keepOnly(layout, [fromOther, delta]);
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `oci:${imagesOnly(dir)}:41`);
    expect((await pull(repository, `oci:${layout}`)).delta as string).toBe(delta);
    expect(source.manifest).not.toBe(other.manifest);
  });

  test("goes by its tag; all platforms are no deltas", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout, target, delta } = sample(dir);
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `oci:${layout}:41`);
    const report = await pull(repository, `oci:${layout}:41to42`);
    expect([report.delta as string, report.manifest as string]).toEqual([delta, target.manifest]);
    using source = openSource(parseReference(`oci:${layout}`), repository.dir.fd, { anyPlatform: true });
    const { images } = await pullAllPlatforms(repository, source, { jobs: 1 });
    expect(images.length).toBe(3);
  });

  test("which has no blobs as they were published", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout } = sample(dir);
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `oci:${layout}:41`);
    await expect(pull(repository, `oci:${layout}:41to42`, { keepBlobs: true })).rejects.toThrow();
  });
});

/** The images of the sample without the delta. */
function imagesOnly(dir: TempDir): string {
  const layout = dir.join("images");
  writeLayout(layout, [{ tag: "41", layers: [SHARED, { tar: layerWith(OLD) }] }]);
  return layout;
}

function keepOnly(layout: string, digests: readonly string[]): void {
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifests = digests.map((digest) => ({
    mediaType,
    digest,
    size: Bun.file(`${layout}/blobs/${digest.replace(":", "/")}`).size,
  }));
  writeFileSync(`${layout}/index.json`, JSON.stringify({ schemaVersion: 2, manifests }));
}

describe("the source image", () => {
  test("need not have an image any more", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout } = sample(dir);
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `oci:${layout}:41`, { tag: "41" });
    const path = dir.join("r", "images");
    for (const name of readdirSync(path).filter((name) => name !== "refs")) {
      rmSync(dir.join("r", "objects", name.slice(0, 2), name.slice(2)));
      rmSync(dir.join("r", "images", name));
    }
    expect((await pull(repository, `oci:${layout}:41to42`, { tag: "42" })).tag).toBe("42");
  });

  test("may have come without a tag, and of a delta itself", async () => {
    using dir = tempDirInMemory(MEGABYTES);
    const { layout, target } = sample(dir);
    const [, , last] = writeLayout(dir.join("next"), [
      { tag: "41", layers: [SHARED, { tar: layerWith(OLD) }] },
      { tag: "42", layers: [SHARED, { tar: TARGET_TAR }] },
      { tag: "43", layers: [SHARED, { tar: layerWith({ b: OLD.c }) }] },
    ]);
    const tar = layerWith({ b: OLD.c });
    const own = {
      bytes: OLD.c,
      ops: [
        { op: "open", name: "usr/c" },
        { op: "copy", size: OLD.c.length },
      ] as DiffOp[],
    };
    const blob = tarDiff(1, opsFor(tar, { b: own }));
    addDelta({
      layout: dir.join("next"),
      source: target,
      target: last!,
      layers: { 1: { blob } },
      tag: "42to43",
    });
    using repository = newRepository(dir.join("r"), SHA256);
    await pull(repository, `oci:${layout}:41`);
    const missing = await pull(repository, `oci:${dir.join("next")}:42to43`).catch(describeError);
    expect(missing).toContain(target.config);
    await pull(repository, `oci:${layout}:41to42`);
    const report = await pull(repository, `oci:${dir.join("next")}:42to43`, { tag: "43" });
    expect(report.manifest as string).toBe(last!.manifest);
  });
});

test("files that are copied whole lie anywhere in what is read at once", async () => {
  const MiB = 1024 * 1024;
  const large = noise(1.5 * MiB, 6);
  const small = noise(70_000, 7);
  await fc.assert(
    fc.asyncProperty(
      // Right at the end of a slab, around it, and anywhere.
      fc.oneof(fc.constantFrom(MiB - 1536, MiB - 2048, MiB - 1535), fc.integer({ min: 65, max: MiB + 5000 })),
      fc.boolean(),
      async (size, isLargeFirst) => {
        using dir = tempDirInMemory(MEGABYTES);
        const first = noise(size, 8);
        const [x, y] = isLargeFirst ? [large, small] : [small, large];
        const tar = writeTar([file("first", first), file("x", x), file("y", y), file("z", small)]);
        const copy = (name: string, bytes: Uint8Array) => ({
          bytes,
          ops: [
            { op: "open", name },
            { op: "copy", size: bytes.length },
          ] as DiffOp[],
        });
        const blob = tarDiff(
          1,
          opsFor(tar, {
            x: copy(isLargeFirst ? "large" : "small", x),
            y: copy(isLargeFirst ? "small" : "large", y),
            z: copy("small", small),
          }),
        );
        const layout = dir.join("layout");
        const [source, target] = writeLayout(layout, [
          {
            tag: "1",
            layers: [{ tar: writeTar([file("large", large), file("small", small)]), packing: "plain" }],
          },
          { tag: "2", layers: [{ tar, packing: "plain" }] },
        ]) as [WrittenImage, WrittenImage];
        addDelta({ layout, source, target, layers: { 0: { blob } }, tag: "1to2" });
        using repository = newRepository(dir.join("r"), SHA256);
        await pull(repository, `oci:${layout}:1`, { tag: "1" });
        const report = await pull(repository, `oci:${layout}:1to2`, { tag: "2" });
        expect(report.statistics).toMatchObject({ newObjects: 1, presentObjects: 3, storedBytes: size });
        expect(contentsOf(dir.join("r"))).toEqual(await plain(dir, layout, ["1", "2"]));
        expect(existsSync(dir.join("r", "tmp"))).toBe(false);
      },
    ),
    { numRuns: 8, examples: [[MiB - 1536, true], [MiB - 1536, false]] }, // biome-ignore format: short
  );
}, 30_000);
