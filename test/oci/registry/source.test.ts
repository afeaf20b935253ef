import { describe, expect, test } from "bun:test";
import { describeError } from "../../../src/errors.ts";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import { computeDigest, type OciDigest } from "../../../src/oci/digest.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../../../src/oci/media-types.ts";
import { parsePlatform } from "../../../src/oci/platform.ts";
import { parseDockerReference } from "../../../src/oci/registry/reference.ts";
import { RegistrySource } from "../../../src/oci/registry/source.ts";
import type { RegistryRepository } from "../../../src/oci/registry/types.ts";
import type { PublishedDocument } from "../../../src/oci/source.ts";

/** A repository with documents only, which notes what it is asked for. */
class Documents {
  readonly asked: string[] = [];
  readonly #documents = new Map<string, PublishedDocument>();

  put(mediaType: string, value: object, ...names: readonly string[]): PublishedDocument & { size: number } {
    const bytes = new Uint8Array(Buffer.from(JSON.stringify(value)));
    const document = { bytes, digest: computeDigest(bytes), mediaType };
    for (const name of [document.digest, ...names]) this.#documents.set(name, document);
    return { ...document, size: bytes.length };
  }

  image(architecture: string, ...names: readonly string[]): OciDigest {
    const { bytes: _, ...config } = this.put(OCI_CONFIG, {
      architecture,
      os: "linux",
      rootfs: { type: "layers", diff_ids: [] },
    });
    return this.put(OCI_MANIFEST, { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [] }, ...names)
      .digest;
  }

  async manifest(name: string): Promise<PublishedDocument> {
    this.asked.push(name);
    return this.#documents.get(name)!;
  }

  async readDocument({ digest }: Descriptor): Promise<Uint8Array<ArrayBuffer>> {
    this.asked.push(digest);
    return this.#documents.get(digest)!.bytes;
  }

  source(name: string, anyPlatform = false): RegistrySource {
    const selection = { platform: parsePlatform("linux/amd64"), anyPlatform };
    return new RegistrySource(this as unknown as RegistryRepository, parseDockerReference(name), selection);
  }
}

describe("a lone image", () => {
  test("for this platform, with one look at its config", async () => {
    const documents = new Documents();
    const digest = documents.image("amd64", "latest");
    using source = documents.source("x");
    const found = await source.manifest();
    expect(found.digest).toBe(digest);
    const { config } = JSON.parse(Buffer.from(found.bytes).toString());
    await source.readDocument({ ...config, annotations: new Map() }, 1000, "Config");
    expect(documents.asked).toEqual(["latest", config.digest]);
  });

  test("for another platform is taken by its digest only", async () => {
    const documents = new Documents();
    const digest = documents.image("arm64", "latest");
    using byTag = documents.source("x");
    expect(await byTag.manifest().catch(describeError)).toBe(
      "docker://docker.io/library/x:latest: No manifest found for platform linux/amd64; available: linux/arm64",
    );
    using byDigest = documents.source(`x@${digest}`);
    expect((await byDigest.manifest()).digest).toBe(digest);
    using any = documents.source("x", true);
    expect((await any.manifest()).digest).toBe(digest);
  });
});

describe("an index", () => {
  const index = (documents: Documents, ...architectures: readonly string[]) => {
    const manifests = architectures.map((architecture) => ({
      mediaType: OCI_MANIFEST,
      digest: documents.image(architecture),
      size: 1,
      platform: { os: "linux", architecture },
    }));
    return { manifests, ...documents.put(OCI_INDEX, { schemaVersion: 2, manifests }, "latest") };
  };

  test("of which no image is looked at but the one that is taken", async () => {
    const documents = new Documents();
    const { manifests, digest } = index(documents, "arm64", "amd64", "s390x");
    using source = documents.source("x");
    const found = await source.manifest();
    expect(found.digest).toBe(manifests[1]!.digest);
    expect(found.index?.digest).toBe(digest);
    expect(documents.asked).toEqual(["latest", manifests[1]!.digest]);
  });

  test("in an index: what was named is what counts", async () => {
    const documents = new Documents();
    const { bytes: _, ...inner } = index(documents, "amd64");
    const outer = documents.put(OCI_INDEX, { schemaVersion: 2, manifests: [inner] }, "nested");
    using source = documents.source("x:nested");
    const found = await source.manifest();
    expect(found.digest).toBe(inner.manifests[0]!.digest);
    expect(found.index?.digest).toBe(outer.digest);
  });

  test("without a fitting image", async () => {
    const documents = new Documents();
    index(documents, "arm64", "s390x");
    using source = documents.source("x");
    expect(await source.manifest().catch(describeError)).toContain("available: linux/arm64, linux/s390x");
  });
});
