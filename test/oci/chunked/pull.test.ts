import { describe, expect, test } from "bun:test";
import { computeDigest } from "../../../src/oci/digest.ts";
import { writeLayer } from "../../../src/oci/layer.ts";
import { openSource } from "../../../src/oci/open-source.ts";
import { pullImage } from "../../../src/oci/pull/pull.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { type RegistryOptions, startRegistry, type TestRegistry } from "../../support/registry.ts";
import { tempDir } from "../../support/temp.ts";
import { configuration, OCI_MANIFEST } from "../registry/support.ts";
import { newRepository } from "../support.ts";
import { type ChunkedFixture, type FixtureName, fixture } from "./support.ts";

const NAME = "team/app";

/** @param diffId what the config says. */
function publish(registry: TestRegistry, tag: string, layer: ChunkedFixture, diffId = layer.diffId): void {
  const { content } = registry;
  content.addBlob(NAME, layer.blob);
  const config = Buffer.from(
    JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [diffId] } }),
  );
  const { mediaType, digest, size, annotations } = layer.descriptor;
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: content.addBlob(NAME, config),
      size: config.length,
    },
    layers: [{ mediaType, digest, size, annotations: Object.fromEntries(annotations) }],
  };
  content.addManifest(NAME, Buffer.from(JSON.stringify(manifest)), OCI_MANIFEST, tag);
}

async function pull(repository: Repository, registry: TestRegistry, tag: string) {
  using source = openSource(parseReference(`docker://${registry.host}/${NAME}:${tag}`), repository.dir.fd, {
    registries: configuration(),
    platform: { os: "linux", architecture: "amd64" },
  });
  return await pullImage(repository, source, { tag: "app", jobs: 2 });
}

function layerDigest(repository: Repository, { diffId }: ChunkedFixture): string {
  const parts: Uint8Array[] = [];
  writeLayer(repository, diffId, (piece) => parts.push(piece.slice()));
  return computeDigest(Buffer.concat(parts));
}

const old = fixture("old.zst");

/** Pulls the old version and then a new one. @returns bytes that were sent of the new layer, and in how many answers. */
async function update(layer: ChunkedFixture, options: RegistryOptions = {}) {
  using folder = tempDir();
  await using registry = await startRegistry(options);
  using repository = newRepository(folder.join("repo"), SHA256);
  publish(registry, "old", old);
  publish(registry, "new", layer);
  await pull(repository, registry, "old");
  const report = await pull(repository, registry, "new");
  expect(layerDigest(repository, layer)).toBe(layer.diffId);
  const { digest } = layer.descriptor;
  const { bytes } = registry.traffic(digest);
  const statuses = registry.requestsTo(digest).map(({ status }) => status);

  using plain = newRepository(folder.join("plain"), SHA256);
  const expected = await pull(plain, registry, "new");
  expect(report.verity).toBe(expected.verity);
  const count = (wanted: number) => statuses.filter((status) => status === wanted).length;
  return { sent: bytes, partial: count(206), whole: count(200) };
}

describe("update of a zstd:chunked layer", () => {
  for (const name of ["new.zst", "new-early.zst"] as const satisfies FixtureName[]) {
    test(`${name}: little more than the changed files is fetched`, async () => {
      const layer = fixture(name);
      expect((await update(layer)).sent).toBeLessThan(layer.blob.length * 0.35);
    });
  }

  test("a registry that sends one range at a time is asked for one after the other", async () => {
    const { partial, whole } = await update(fixture("new.zst"), { ranges: "single" });
    expect(partial).toBeGreaterThan(10);
    // the answer to the first request for several
    expect(whole).toBe(1);
  });

  test("the whole blob is fetched from a registry that knows no ranges", async () => {
    const layer = fixture("new.zst");
    expect((await update(layer, { ranges: "none" })).sent).toBeGreaterThanOrEqual(layer.blob.length);
  });

  test("a table of contents that is not the announced one is ignored", async () => {
    const layer = fixture("new.zst");
    const annotations = new Map(layer.descriptor.annotations);
    annotations.set("io.github.containers.zstd-chunked.manifest-checksum", `sha256:${"0".repeat(64)}`);
    const { sent } = await update({ ...layer, descriptor: { ...layer.descriptor, annotations } });
    expect(sent).toBeGreaterThanOrEqual(layer.blob.length);
  });

  test("a table of contents that lies is found out, and the whole blob fetched", async () => {
    // The table of the old version describes other ranges and files than there are.
    const layer = fixture("new.zst");
    const lying = { ...layer, blob: layer.blob, descriptor: layer.descriptor };
    const [offset, length] = [374581, 5677];
    const annotations = new Map(old.descriptor.annotations);
    annotations.set("io.github.containers.zstd-chunked.manifest-position", `${8}:${length}:24947:1`);
    annotations.delete("io.github.containers.zstd-chunked.tarsplit-position");
    // In front of the tar, where a decoder skips it as well.
    const head = Buffer.alloc(8);
    head.writeUInt32LE(0x184d2a50, 0);
    head.writeUInt32LE(length, 4);
    const table = old.blob.subarray(offset, offset + length);
    lying.blob = new Uint8Array(Buffer.concat([head, table, layer.blob]));
    lying.descriptor = {
      ...layer.descriptor,
      digest: computeDigest(lying.blob),
      size: lying.blob.length,
      annotations,
    };
    expect((await update(lying)).sent).toBeGreaterThanOrEqual(lying.blob.length);
  });

  test("a layer that is not the one of the config is refused, whatever was fetched of it", async () => {
    using folder = tempDir();
    await using registry = await startRegistry();
    using repository = newRepository(folder.join("repo"), SHA256);
    const layer = fixture("new.zst");
    publish(registry, "old", old);
    publish(registry, "new", layer, `sha256:${"1".repeat(64)}` as typeof layer.diffId);
    await pull(repository, registry, "old");
    const before = await pull(repository, registry, "old");
    expect(pull(repository, registry, "new")).rejects.toThrow();
    expect((await pull(repository, registry, "old")).verity).toBe(before.verity);
  });
});
