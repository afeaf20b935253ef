import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CfsError, describeError } from "../../src/errors.ts";
import { copyImage } from "../../src/oci/copy/copy.ts";
import type { OciDigest } from "../../src/oci/digest.ts";
import { checkImages } from "../../src/oci/fsck.ts";
import { writeLayer } from "../../src/oci/layer.ts";
import { lookUpTag } from "../../src/oci/tags.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { checkRepository } from "../../src/repository/fsck.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { lookUpStream, openStream } from "../../src/repository/streams.ts";
import { type ObjectId, objectPath, SHA256, SHA512 } from "../../src/verity/digest.ts";
import { findReference } from "../support/reference.ts";
import { writeSampleLayout } from "../support/sample-images.ts";
import { tempDir, tempDirInMemory } from "../support/temp.ts";
import { FIXTURES, newRepository, pull } from "./support.ts";

const scratch = tempDirInMemory(512 * 1024 * 1024);
afterAll(() => scratch[Symbol.dispose]());

const LAYOUT = scratch.join("layout");
const IMAGES = writeSampleLayout(LAYOUT);

/** Every file below a directory: where links point to, how large files are. */
function listing(root: string, path = ""): string[] {
  return readdirSync(join(root, path)).flatMap((name) => {
    const at = join(path, name);
    const status = lstatSync(join(root, at));
    if (status.isDirectory()) return listing(root, at);
    if (status.isSymbolicLink()) return [`${at} -> ${readlinkSync(join(root, at))}`];
    return at === "meta.json" ? [] : [`${at} ${status.size}`];
  });
}

async function failure(action: Promise<unknown>): Promise<string> {
  try {
    await action;
  } catch (error) {
    if (error instanceof CfsError) return describeError(error);
    throw error;
  }
  return "";
}

let count = 0;
const newPath = () => scratch.join(`r${count++}`);

describe("copying between repositories", () => {
  const paths = { sha256: newPath(), sha512: newPath() };
  const sources = {} as Record<"sha256" | "sha512", Repository>;
  beforeAll(async () => {
    for (const algorithm of [SHA256, SHA512]) {
      const repository = newRepository(paths[algorithm.hash], algorithm);
      sources[algorithm.hash] = repository;
      for (const tag of ["many", "odd"]) await pull(repository, `oci:${LAYOUT}:${tag}`, { tag });
    }
  });
  afterAll(() => {
    for (const repository of Object.values(sources)) repository[Symbol.dispose]();
  });

  for (const [from, to] of [
    [SHA256, SHA256],
    [SHA512, SHA512],
    [SHA256, SHA512],
    [SHA512, SHA256],
  ] as const) {
    test(`${from.hash} to ${to.hash}: all is as after a pull`, async () => {
      const path = newPath();
      using target = newRepository(path, to);
      for (const tag of ["many", "odd"]) {
        const report = await copyImage(target, sources[from.hash], tag, { tag, jobs: 2 });
        expect(report.unchanged).toBe(false);
        expect(report.manifest as string).toBe(IMAGES[tag as "many" | "odd"].manifest);
      }
      expect(listing(path).sort()).toEqual(listing(paths[to.hash]).sort());
      expect((await checkRepository(target, { jobs: 1 })).errors).toEqual([]);
      expect(checkImages(target).errors).toEqual([]);
      expect((await copyImage(target, sources[from.hash], "many", { jobs: 1 })).unchanged).toBe(true);
    });
  }

  const reference = findReference();
  if (reference === undefined) console.log("skipped: composefs-rs reads a copy: needs the reference");
  test.skipIf(reference === undefined)("composefs-rs finds nothing wrong with a copy", async () => {
    const path = newPath();
    {
      using target = newRepository(path, SHA256);
      await copyImage(target, sources.sha512, "many", { tag: "copied", jobs: 1 });
    }
    const run = (...args: string[]) => {
      const { stdout, exitCode } = Bun.spawnSync([reference!, "--repo", path, "--insecure", ...args]);
      return `${exitCode} ${stdout}`;
    };
    expect(run("oci", "fsck")).toStartWith("0 meta.json: ok");
    expect(run("oci", "fsck")).toEndWith("oci images: 1/1 ok\n");
    expect(run("oci", "images")).toContain("copied");
    expect(run("oci", "compute-id", "copied")).toStartWith("0 ");
  });

  test("an image is copied without a kept blob that got lost", async () => {
    using source = newRepository(newPath(), SHA256);
    await pull(source, `oci:${LAYOUT}:odd`, { tag: "odd", keepBlobs: true });
    const kept = readdirSync(join(source.path, "streams")).filter((name) => name.startsWith("oci-blob-"));
    unlinkSync(realpathSync(join(source.path, "streams", kept[0]!)));
    using target = newRepository(newPath(), SHA512);
    const told: string[] = [];
    const progress = {
      event: (event: ProgressEvent) => void (event.type === "message" && told.push(event.text)),
    };
    await copyImage(target, source, "odd", { tag: "odd", jobs: 1, progress });
    expect(told).toEqual([expect.stringContaining(kept[0]!.slice("oci-blob-".length))]);
    const copied = readdirSync(join(target.path, "streams")).filter((name) => name.startsWith("oci-blob-"));
    expect(copied.sort()).toEqual(kept.slice(1).sort());
    expect(checkImages(target).errors).toEqual([]);
  });

  test("the order of work is told", async () => {
    using target = newRepository(newPath(), SHA256);
    const events: ProgressEvent[] = [];
    const progress = { event: (event: ProgressEvent) => void events.push(event) };
    await copyImage(target, sources.sha256, "many", { jobs: 1, progress });
    const ids = (type: string) => events.filter((e) => e.type === type && "id" in e).length;
    expect([ids("start"), ids("done")]).toEqual([12, 12]);
  });

  test("zerocopy shares files, and only in repositories of the same algorithm", async () => {
    const path = newPath();
    using target = newRepository(path, SHA256);
    const { statistics } = await copyImage(target, sources.sha256, "many", { zerocopy: true, jobs: 1 });
    const { copied, hardlinked, reflinked } = statistics.objects;
    expect(copied).toBe(0);
    expect(hardlinked + reflinked).toBeGreaterThan(20);
    expect(listing(path).filter((line) => !line.includes("->")).length).toBeGreaterThan(20);
    if (hardlinked > 0) {
      const shared = listing(path).filter((line) => /^objects\/\S+ \d+$/.test(line));
      const links = shared.map((line) => statSync(join(path, line.split(" ")[0]!)).nlink);
      expect(links.filter((n) => n > 1).length).toBe(hardlinked);
    }
    expect(checkImages(target).errors).toEqual([]);

    using other = newRepository(newPath(), SHA512);
    expect(await failure(copyImage(other, sources.sha256, "many", { zerocopy: true }))).toBe(
      "--zerocopy requires matching hash algorithms; source uses Sha256 but destination uses Sha512",
    );
  });

  test("zerocopy copies what can't be shared", async () => {
    using elsewhere = tempDir();
    if (statSync(elsewhere.path).dev === statSync(scratch.path).dev) {
      console.log("skipped: files of two file systems: there is only one");
      return;
    }
    using target = newRepository(elsewhere.join("r"), SHA256);
    const { objects } = (await copyImage(target, sources.sha256, "many", { zerocopy: true, jobs: 1 }))
      .statistics;
    expect(objects.copied).toBeGreaterThan(20);
    expect(objects.hardlinked + objects.reflinked).toBe(0);
    expect(checkImages(target).errors).toEqual([]);
  });

  test("what is not there, and names that no tag can have", async () => {
    using target = newRepository(newPath(), SHA256);
    expect(await failure(copyImage(target, sources.sha256, "nope"))).toBe("OCI reference not found: nope");
    expect(await failure(copyImage(target, sources.sha256, "many", { tag: "@x" }))).toContain("'@'");
  });
});

describe("of what images are made", () => {
  test("an artifact", async () => {
    const archive = join(FIXTURES, "images/artifact-platform.tar");
    using source = newRepository(newPath(), SHA256);
    using target = newRepository(newPath(), SHA512);
    using pulled = newRepository(newPath(), SHA512);
    const { manifest } = await pull(source, `oci-archive:${archive}:t`, { tag: "a" });
    await copyImage(target, source, "a", { tag: "a" });
    await pull(pulled, `oci-archive:${archive}:t`, { tag: "a" });
    expect(lookUpTag(target, "a")).toBe(manifest);
    expect(listing(target.path).sort()).toEqual(listing(pulled.path).sort());
  });

  test("blobs that were kept", async () => {
    using source = newRepository(newPath(), SHA256);
    using target = newRepository(newPath(), SHA256);
    await pull(source, `oci:${LAYOUT}:odd`, { tag: "odd", keepBlobs: true });
    await copyImage(target, source, "odd", { tag: "odd", jobs: 1 });
    const [first] = IMAGES.odd.layers;
    expect(lookUpStream(target, `oci-blob-${first!.digest}`)).toBeDefined();
    expect(listing(target.path).sort()).toEqual(listing(source.path).sort());
  });
});

describe("a damaged source", () => {
  /** Objects with the bodies of files of a layer. */
  function objectsOf(repository: Repository, layer: string): ObjectId[] {
    using stream = openStream(repository, `oci-layer-${layer}`);
    return [...stream.reader.objectRefs];
  }

  test.each(["changed", "cut"])("an object that was %s is found, and nothing is linked", async (how) => {
    using source = newRepository(newPath(), SHA256);
    using target = newRepository(newPath(), SHA256);
    await pull(source, `oci:${LAYOUT}:many`, { tag: "many" });
    const [{ diffId }] = IMAGES.many.layers as unknown as [{ diffId: string }];
    const id = objectsOf(source, diffId)[3]!;
    const file = join(source.path, "objects", objectPath(id));
    chmodSync(file, 0o644);
    if (how === "cut") truncateSync(file, 1);
    else {
      const bytes = readFileSync(file);
      bytes[0]! ^= 1;
      writeFileSync(file, bytes);
    }
    expect(await failure(copyImage(target, source, "many", { tag: "many", jobs: 1 }))).toContain(
      `sha256:${id} does not have the content of its digest`,
    );
    expect(lookUpTag(target, "many")).toBeUndefined();
    expect(lookUpStream(target, `oci-layer-${diffId}`)).toBeUndefined();

    using other = newRepository(newPath(), SHA512);
    expect(await failure(copyImage(other, source, "many", { jobs: 1 }))).toContain("incorrect checksum");
    expect(existsSync(join(other.path, "streams", `oci-layer-${diffId}`))).toBe(false);
  });

  test("what a good pull of the layer gives is what was there", async () => {
    using source = newRepository(newPath(), SHA256);
    using target = newRepository(newPath(), SHA512);
    await pull(source, `oci:${LAYOUT}:sparse`, { tag: "sparse" });
    await copyImage(target, source, "sparse", { jobs: 2 });
    const [{ diffId }] = IMAGES.sparse.layers as unknown as [{ diffId: OciDigest }];
    const hash = new Bun.CryptoHasher("sha256");
    writeLayer(target, diffId, (piece) => hash.update(piece as Uint8Array<ArrayBuffer>));
    expect(`sha256:${hash.digest("hex")}`).toBe(diffId);
  });
});
