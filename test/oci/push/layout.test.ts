import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { OciDigest } from "../../../src/oci/digest.ts";
import { checkImages } from "../../../src/oci/fsck.ts";
import { openImage } from "../../../src/oci/image.ts";
import { parseIndex } from "../../../src/oci/index.ts";
import { OCI_INDEX } from "../../../src/oci/media-types.ts";
import { openSource } from "../../../src/oci/open-source.ts";
import { pullAllPlatforms } from "../../../src/oci/pull-index.ts";
import { REPACKED_FROM, repackedIndex } from "../../../src/oci/push/repacked-manifest.ts";
import type { Publication } from "../../../src/oci/push/target.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { ProgressEvent } from "../../../src/progress.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { openStream } from "../../../src/repository/streams.ts";
import { objectPath, SHA256, SHA512 } from "../../../src/verity/digest.ts";
import { digestOf, writeLayout } from "../../support/oci-layout.ts";
import { findReference } from "../../support/reference.ts";
import { writeSampleLayout } from "../../support/sample-images.ts";
import { testNeeding } from "../../support/skip.ts";
import { directory, file, noise, type TarItem, writeTar } from "../../support/tar-writer.ts";
import { tempDirInMemory } from "../../support/temp.ts";
import { FIXTURES, newRepository, pull } from "../support.ts";
import { failure, layoutBlob, layoutManifest, plainDigest, push, pushAll } from "./support.ts";

const scratch = tempDirInMemory(512 * 1024 * 1024);
const LAYOUT = scratch.join("layout");
const IMAGES = writeSampleLayout(LAYOUT);
let repository: Repository;
beforeAll(async () => {
  repository = newRepository(scratch.join("repository"), SHA256);
  await pull(repository, `oci:${LAYOUT}:many`, { tag: "many" });
  await pull(repository, `oci:${LAYOUT}:odd`, { tag: "odd", keepBlobs: true });
});
afterAll(() => {
  repository[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

let count = 0;
const newPath = () => scratch.join(`out${count++}`);
const indexOf = (layout: string) =>
  JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
const tagsOf = (layout: string) =>
  indexOf(layout).manifests.map((m) => m.annotations?.["org.opencontainers.image.ref.name"]);

describe("layers that were not kept are made again", () => {
  test.each(["gzip", "zstd", "none"] as const)("%s", async (compression) => {
    const out = newPath();
    const report = await push(repository, "many", `oci:${out}:t`, { compression, jobs: 2 });
    expect(report.original as string).toBe(IMAGES.many.manifest);
    expect(report.manifest).not.toBe(report.original);
    const manifest = layoutManifest(out, report.manifest);
    expect(manifest.annotations).toEqual({ [REPACKED_FROM]: IMAGES.many.manifest });
    expect(manifest.config.digest).toBe(IMAGES.many.config);
    expect(layoutBlob(out, manifest.config.digest)).toEqual(layoutBlob(LAYOUT, IMAGES.many.config));
    const suffix = compression === "none" ? "" : `+${compression}`;
    for (const [i, { digest, diffId }] of IMAGES.many.layers.entries()) {
      const { mediaType, size, ...layer } = manifest.layers[i]!;
      const blob = layoutBlob(out, layer.digest);
      expect(blob.length).toBe(size);
      expect(plainDigest(mediaType, new Uint8Array(blob))).toBe(diffId);
      // one that was published as plain tar stays what it was
      const wasPlain = digest === diffId;
      expect(mediaType).toBe(`application/vnd.oci.image.layer.v1.tar${wasPlain ? "" : suffix}`);
      if (wasPlain) expect(layer.digest).toBe(digest);
    }
    // nothing but what was announced
    const blobs = new Set([report.manifest, report.config, ...manifest.layers.map(({ digest }) => digest)]);
    expect(readdirSync(join(out, "blobs/sha256")).sort()).toEqual([...blobs].map((d) => d.slice(7)).sort());
    expect(statSync(join(out, "blobs/sha256", report.config.slice(7))).mode & 0o777).toBe(0o644);
  });

  test("the same image gives the same bytes, also when it was pulled from what was pushed", async () => {
    const out = newPath();
    const first = await push(repository, "many", `oci:${out}:t`, { jobs: 1 });
    const again = await push(repository, "many", `oci:${out}:t`, { jobs: 2 });
    expect(again.manifest).toBe(first.manifest);
    expect(again.layers.every(({ outcome }) => outcome === "present")).toBe(true);

    using other = newRepository(newPath(), SHA512);
    await pull(other, `oci:${out}:t`, { tag: "t" });
    const third = await push(other, "t", `oci:${newPath()}:t`);
    expect(third.manifest).toBe(first.manifest);
  });

  test("a level of compression", async () => {
    const sizeAt = async (level: number) => {
      const { layers } = await push(repository, "many", `oci:${newPath()}`, { compression: "zstd", level });
      return layers.reduce((sum, { size }) => sum + size, 0);
    };
    expect(await sizeAt(9)).toBeLessThan(await sizeAt(1));
  });
});

describe("the image stays the same", () => {
  test("when its blobs were kept", async () => {
    const out = newPath();
    const report = await push(repository, "odd", `oci:${out}:t`, { compression: "zstd" });
    expect([report.manifest, report.original] as string[]).toEqual([
      IMAGES.odd.manifest,
      IMAGES.odd.manifest,
    ]);
    for (const { digest } of IMAGES.odd.layers) layoutBlob(out, digest);
    expect(layoutBlob(out, report.manifest)).toEqual(layoutBlob(LAYOUT, report.manifest));
  });

  test("unless a kept blob got lost: that layer is packed anew, which is told", async () => {
    using other = newRepository(newPath(), SHA256);
    await pull(other, `oci:${LAYOUT}:odd`, { tag: "odd", keepBlobs: true });
    const kept = IMAGES.odd.layers.map(({ digest }) => `oci-blob-${digest}`);
    const name = kept.find((entry) => existsSync(join(other.path, "streams", entry)))!;
    unlinkSync(realpathSync(join(other.path, "streams", name)));
    expect(checkImages(other).errors).toEqual([
      expect.stringContaining(`fsck: kept-blob-object-missing: odd: ${name.slice("oci-blob-".length)}`),
    ]);
    const told: string[] = [];
    const progress = {
      event: (event: ProgressEvent) => void (event.type === "message" && told.push(event.text)),
    };
    const report = await push(other, "odd", `oci:${newPath()}:t`, { progress });
    expect(told).toEqual([expect.stringContaining(name.slice("oci-blob-".length))]);
    const anew = report.layers.filter(({ asPulled }) => !asPulled);
    expect(anew.map(({ original }) => `oci-blob-${original}`)).toEqual([name]);
    await pull(other, `oci:${LAYOUT}:odd`, { tag: "odd", keepBlobs: true });
    expect((await push(other, "odd", `oci:${newPath()}:t`)).manifest as string).toBe(IMAGES.odd.manifest);
  });

  test("when its layers were never compressed", async () => {
    const layout = newPath();
    const tars = [0, 1].map((i) => writeTar([directory("usr/"), file(`usr/${i}`, noise(200_000, i))]));
    const layers = [...tars, tars[0]!].map((tar) => ({ tar, packing: "plain" as const }));
    const [image] = writeLayout(layout, [{ tag: "plain", layers }]);
    using other = newRepository(newPath(), SHA512);
    await pull(other, `oci:${layout}:plain`, { tag: "plain" });
    const out = newPath();
    const report = await push(other, "plain", `oci:${out}`, { jobs: 2 });
    expect(report.manifest as string).toBe(image!.manifest);
    expect(layoutManifest(out, report.manifest).layers.map(({ digest }) => digest)).toEqual(
      image!.layers.map(({ digest }) => digest),
    );
  });

  test("when it is an artifact", async () => {
    using other = newRepository(newPath(), SHA256);
    const archive = `oci-archive:${join(FIXTURES, "images/artifact-platform.tar")}:t`;
    const { manifest } = await pull(other, archive, { tag: "a" });
    const out = newPath();
    expect((await push(other, "a", `oci:${out}:t`)).manifest).toBe(manifest);
    for (const { digest } of layoutManifest(out, manifest).layers) layoutBlob(out, digest);
  });
});

describe("images of docker's schema 2", () => {
  const DOCKER = "application/vnd.docker";
  const layout = newPath();
  writeLayout(layout, [
    {
      tag: "d",
      layers: [{ tar: writeTar([directory("usr/"), file("usr/a", noise(1000, 1))]) }],
      manifest: (manifest) => {
        manifest.mediaType = `${DOCKER}.distribution.manifest.v2+json`;
        manifest.config.mediaType = `${DOCKER}.container.image.v1+json`;
        manifest.layers[0]!.mediaType = `${DOCKER}.image.rootfs.diff.tar.gzip`;
      },
    },
  ]);

  test.each([
    ["gzip", ".gzip"],
    ["none", ""],
  ] as const)("keep their types, and have no annotations: %s", async (compression, suffix) => {
    using other = newRepository(newPath(), SHA256);
    await pull(other, `oci:${layout}:d`, { tag: "d" });
    const out = newPath();
    const { manifest, original } = await push(other, "d", `oci:${out}:t`, { compression });
    expect(manifest).not.toBe(original);
    const json = layoutManifest(out, manifest);
    expect(json.mediaType).toBe(`${DOCKER}.distribution.manifest.v2+json`);
    expect(json.config.mediaType).toBe(`${DOCKER}.container.image.v1+json`);
    expect(json.layers[0]!.mediaType).toBe(`${DOCKER}.image.rootfs.diff.tar${suffix}`);
    expect(json.annotations).toBeUndefined();
  });

  test("know no zstd", async () => {
    using other = newRepository(newPath(), SHA256);
    await pull(other, `oci:${layout}:d`, { tag: "d" });
    expect(await failure(push(other, "d", `oci:${newPath()}`, { compression: "zstd" }))).toContain(
      "manifests of docker's schema 2 have no layers compressed with zstd",
    );
  });
});

describe("images of all platforms", () => {
  const layout = newPath();
  const base = { tar: writeTar([directory("usr/"), file("usr/base", noise(3000, 1))]) };
  const platforms = ["amd64", "arm64"];
  writeLayout(
    layout,
    platforms.map((architecture, i) => ({
      tag: architecture,
      layers: [base, { tar: writeTar([directory("usr/"), file("usr/own", noise(900, i))]) }],
      config: (config) => Object.assign(config, { architecture }),
    })),
  );
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: indexOf(layout).manifests.map(({ annotations: _, ...entry }, i) => ({
      ...entry,
      platform: { architecture: platforms[i], os: "linux" },
    })),
  };
  const bytes = Buffer.from(JSON.stringify(index));
  writeFileSync(join(layout, "blobs/sha256", digestOf(bytes).slice(7)), bytes);
  const entry = { mediaType: index.mediaType, digest: digestOf(bytes), size: bytes.length };
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));

  async function pulled(keepBlobs: boolean): Promise<Repository> {
    const other = newRepository(newPath(), SHA256);
    using source = openSource(parseReference(`oci:${layout}`), other.dir.fd, { anyPlatform: true });
    await pullAllPlatforms(other, source, { tag: "all", jobs: 1, keepBlobs });
    return other;
  }

  test("keep their index when blobs were kept", async () => {
    using other = await pulled(true);
    const out = newPath();
    const report = await pushAll(other, "all", `oci:${out}:all`);
    expect([report.index, report.original] as string[]).toEqual([digestOf(bytes), digestOf(bytes)]);
    expect(Buffer.compare(layoutBlob(out, report.index), bytes)).toBe(0);
    for (const { digest } of index.manifests)
      for (const layer of layoutManifest(out, digest).layers) layoutBlob(out, layer.digest);
  });

  test("get an index that lists what they are now", async () => {
    using other = await pulled(false);
    const out = newPath();
    const report = await pushAll(other, "all", `oci:${out}:all`);
    const published = JSON.parse(layoutBlob(out, report.index).toString()) as typeof index;
    expect(published).toEqual({
      ...index,
      manifests: index.manifests.map((manifest, i) => ({
        ...manifest,
        digest: report.images[i]!.manifest,
        size: layoutBlob(out, report.images[i]!.manifest).length,
      })),
      annotations: { [REPACKED_FROM]: digestOf(bytes) },
    } as typeof index);
    using again = newRepository(newPath(), SHA256);
    await pull(again, `oci:${out}:all`, { tag: "t" });
    expect(await failure(pushAll(again, "t", `oci:${newPath()}`))).toBe("there is no index of the image t");
  });
});

describe("an index whose manifests get other digests", () => {
  const publication = (text: string): Publication => ({
    bytes: Buffer.from(text),
    digest: digestOf(Buffer.from(text)) as OciDigest,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    subject: undefined,
    artifactType: undefined,
    annotations: new Map(),
  });

  test("embeds none of the old ones, and attestations are about the new ones", () => {
    const [image, attestation, anew] = ["image", "attestation", "anew"].map(publication) as [
      Publication,
      Publication,
      Publication,
    ];
    const about = (digest: string) => ({ "vnd.docker.reference.digest": digest, other: "x" });
    const entryOf = ({ bytes, digest, mediaType }: Publication) => ({
      mediaType,
      digest,
      size: bytes.length,
    });
    const text = JSON.stringify({
      schemaVersion: 2,
      manifests: [
        { ...entryOf(image), data: "aW1hZ2U=", extra: 1 },
        { ...entryOf(attestation), data: "YXR0ZXN0YXRpb24=", annotations: about(image.digest) },
        { ...entryOf(attestation), annotations: about("sha256:elsewhere") },
      ],
    });
    const stored = { ...publication(text), mediaType: OCI_INDEX, index: parseIndex(Buffer.from(text)) };
    const published = new Map([
      [image.digest, anew],
      [attestation.digest, attestation],
    ]);
    expect(JSON.parse(Buffer.from(repackedIndex(stored, published).bytes).toString()).manifests).toEqual([
      { ...entryOf(anew), extra: 1 },
      { ...entryOf(attestation), data: "YXR0ZXN0YXRpb24=", annotations: about(anew.digest) },
      { ...entryOf(attestation), annotations: about("sha256:elsewhere") },
    ]);
  });
});

test("an image that is not there leaves no directory behind", async () => {
  const out = newPath();
  expect(await failure(push(repository, "nothing", `oci:${out}:t`))).toContain("nothing");
  expect(existsSync(out)).toBe(false);
});

describe("a layout that is there already", () => {
  test("keeps its other images and what else its index says", async () => {
    const out = newPath();
    mkdirSync(out);
    const foreign = { mediaType: "text/x", digest: `sha256:${"a".repeat(64)}`, size: 1, data: "eA==" };
    writeFileSync(
      join(out, "index.json"),
      JSON.stringify({ schemaVersion: 2, manifests: [foreign], annotations: { a: "b" }, other: [1] }),
    );
    await push(repository, "odd", `oci:${out}:one`);
    await push(repository, "odd", `oci:${out}:two`);
    const { manifest } = await push(repository, "many", `oci:${out}:one`);
    await push(repository, "odd", `oci:${out}`);
    await push(repository, "odd", `oci:${out}`);
    expect(tagsOf(out)).toEqual([undefined, "two", "one", undefined]);
    expect(indexOf(out)).toMatchObject({ annotations: { a: "b" }, other: [1] });
    expect(indexOf(out).manifests[0]!).toEqual(foreign as never);
    expect(indexOf(out).manifests[2]!.digest as string).toBe(manifest);
    expect(readFileSync(join(out, "oci-layout"), "utf8")).toBe('{"imageLayoutVersion":"1.0.0"}');
  });

  test("gets good blobs for those that are damaged", async () => {
    const out = newPath();
    const { layers } = await push(repository, "odd", `oci:${out}:t`);
    const [{ digest }] = layers as unknown as [{ digest: string }];
    const path = join(out, "blobs/sha256", digest.slice(7));
    const damaged = readFileSync(path);
    damaged[100]! ^= 1;
    writeFileSync(path, damaged);
    expect(() => layoutBlob(out, digest)).toThrow("damaged");
    await push(repository, "odd", `oci:${out}:t`);
    layoutBlob(out, digest);
  });

  test.each(["blobs", "blobs/sha256", "index.json", "oci-layout"])(
    "is not left by a link: %s",
    async (name) => {
      const out = newPath();
      const elsewhere = newPath();
      mkdirSync(elsewhere);
      mkdirSync(name === "blobs/sha256" ? join(out, "blobs") : out, { recursive: true });
      symlinkSync(name.startsWith("blobs") ? elsewhere : join(elsewhere, "file"), join(out, name));
      expect(await failure(push(repository, "odd", `oci:${out}:t`))).not.toBe("");
      expect(readdirSync(elsewhere)).toEqual([]);
    },
  );

  test("whose index is none is left alone", async () => {
    const out = newPath();
    mkdirSync(out);
    writeFileSync(join(out, "index.json"), "[]");
    expect(await failure(push(repository, "odd", `oci:${out}:t`))).toContain("index.json is not an object");
    expect(readFileSync(join(out, "index.json"), "utf8")).toBe("[]");
  });
});

describe("what can't be pushed", () => {
  test("a layer that is damaged: the layout has no image then", async () => {
    using other = newRepository(newPath(), SHA256);
    await pull(other, `oci:${LAYOUT}:many`, { tag: "many" });
    const [{ diffId }] = IMAGES.many.layers as unknown as [{ diffId: string }];
    using stream = openStream(other, `oci-layer-${diffId}`);
    const path = join(other.path, "objects", objectPath(stream.reader.objectRefs.at(3)));
    const bytes = readFileSync(path);
    bytes[0]! ^= 1;
    chmodSync(path, 0o644);
    writeFileSync(path, bytes);
    for (const jobs of [1, 2]) {
      const out = newPath();
      expect(await failure(push(other, "many", `oci:${out}:t`, { jobs }))).toContain(
        `Layer ${diffId} has incorrect checksum`,
      );
      expect(existsSync(join(out, "index.json"))).toBe(false);
    }
  });

  test.each([
    ["nope", "oci:x", "OCI reference not found: nope"],
    ["odd", "dir:x", "images can't be pushed to dir:"],
    ["odd", "docker-daemon:x", "images can't be pushed to docker-daemon:"],
    ["odd", "nonsense", "Missing ':'"],
  ])("%s to %s", async (name, destination, message) => {
    const path = destination.startsWith("oci:") ? `oci:${newPath()}` : destination;
    expect(await failure(push(repository, name, path))).toContain(message);
  });
});

describe("other tools read it", () => {
  const run = (...command: string[]) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
    if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
    return stdout.toString();
  };

  for (const compression of ["gzip", "zstd", "none"] as const) {
    testNeeding({ tool: "skopeo" })(`skopeo copies ${compression}`, async () => {
      const out = newPath();
      const { manifest } = await push(repository, "many", `oci:${out}:t`, { compression });
      const copy = newPath();
      run("skopeo", "copy", "--insecure-policy", "-q", `oci:${out}:t`, `dir:${copy}`);
      expect(readFileSync(join(copy, "manifest.json"))).toEqual(Buffer.from(layoutBlob(out, manifest)));
      expect((JSON.parse(run("skopeo", "inspect", `oci:${out}:t`)) as { Digest: string }).Digest).toBe(
        manifest,
      );
    });
  }

  const reference = findReference();
  if (reference === undefined)
    console.log("skipped: composefs-rs pulls what was pushed: needs the reference");
  test.skipIf(reference === undefined)("composefs-rs makes the same image of it", async () => {
    const out = newPath();
    await push(repository, "many", `oci:${out}:t`);
    const other = newPath();
    run(reference!, "init", "--insecure", "--algorithm", "fsverity-sha256-12", other);
    run(reference!, "--repo", other, "oci", "pull", `oci:${out}:t`, "t");
    const { namedRefs } = openImage(repository, "many").config.document;
    expect(run(reference!, "--repo", other, "oci", "compute-id", "t").trim()).toBe(
      namedRefs.get("composefs.image.v1")!,
    );
  });

  testNeeding({ tool: "umoci" }, "root")("umoci unpacks the same files", async () => {
    const layout = newPath();
    const below: TarItem[] = [
      directory("usr/"),
      directory("usr/share/", { mode: 0o2750, uid: 3, gid: 4 }),
      file("usr/share/large", noise(3_000_000, 1), { mode: 0o4755 }),
      file("usr/share/gone", noise(300, 2)),
      file("usr/share/small", "small", { xattrs: { "user.note": "kept" } }),
      { path: "usr/link", type: "symlink", target: "share/small" },
      { path: "usr/hard", type: "hardlink", target: "usr/share/large" },
    ];
    const above = [
      directory("usr/share/"),
      file("usr/share/.wh.gone", ""),
      file("usr/new", noise(70_000, 3)),
    ];
    writeLayout(layout, [{ tag: "gz", layers: [{ tar: writeTar(below) }, { tar: writeTar(above) }] }]);
    using other = newRepository(newPath(), SHA512);
    await pull(other, `oci:${layout}:gz`, { tag: "gz" });
    const out = newPath();
    await push(other, "gz", `oci:${out}:t`);
    const trees = [`${layout}:gz`, `${out}:t`].map((image) => {
      const bundle = newPath();
      run("umoci", "unpack", "--image", image, bundle);
      const find = "find . -printf '%P %M %U %G %T@ %n %l %s\\n' | LC_ALL=C sort";
      return run("sh", "-c", `cd ${bundle}/rootfs && ${find}; find . -type f -exec sha256sum {} + | sort`);
    });
    expect(trees[0]).toContain("share/small");
    expect(trees[1]).toBe(trees[0]!);
  });
});
