import { describe, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { describeError } from "../../../src/errors.ts";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import { parseDigest } from "../../../src/oci/digest.ts";
import { OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../../../src/oci/media-types.ts";
import type { RelatedManifests } from "../../../src/oci/source.ts";
import { digestOf } from "../../support/oci-layout.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";
import { withSource } from "./support.ts";

interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const REF_NAME = "org.opencontainers.image.ref.name";
const EMPTY = "application/vnd.oci.empty.v1+json";
const SIGNATURE = "application/vnd.example.signature";

class Layout {
  readonly #dir: TempDir;
  readonly #listed: object[] = [];

  constructor(dir: TempDir) {
    this.#dir = dir;
    mkdirSync(dir.join("blobs/sha256"), { recursive: true });
  }

  path(digest: string): string {
    return this.#dir.join("blobs/sha256", digest.slice(7));
  }

  blob(mediaType: string, value: object): Blob {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = digestOf(bytes);
    writeFileSync(this.path(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  manifest(more: object, configType = EMPTY): Blob {
    const config = this.blob(configType, {});
    return this.blob(OCI_MANIFEST, {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config,
      layers: [],
      ...more,
    });
  }

  list(blob: Blob, tag?: string): Blob {
    this.#listed.push(tag === undefined ? blob : { ...blob, annotations: { [REF_NAME]: tag } });
    return blob;
  }

  /** Writes the index and asks. */
  ask<T>(question: (related: RelatedManifests) => Promise<T>): Promise<T> {
    writeFileSync(
      this.#dir.join("index.json"),
      JSON.stringify({ schemaVersion: 2, manifests: this.#listed }),
    );
    return withSource(`oci:${this.#dir.path}`, this.#dir.path, (source) => question(source.related!));
  }
}

const digests = (descriptors: readonly Descriptor[]): string[] => descriptors.map(({ digest }) => digest);

test("manifests by tag", async () => {
  using dir = tempDir();
  const layout = new Layout(dir);
  const manifest = layout.list(layout.manifest({}), "sha256-00.sig");
  const index = layout.list(layout.blob(OCI_INDEX, { schemaVersion: 2, manifests: [] }), "all");
  const byTag = (tag: string) => layout.ask((related) => related.manifestByTag(tag));
  expect(await byTag("sha256-00.sig")).toMatchObject({
    digest: manifest.digest as never,
    mediaType: OCI_MANIFEST,
  });
  expect(await byTag("all")).toMatchObject({ digest: index.digest as never, mediaType: OCI_INDEX });
  expect(await byTag("sha256-00")).toBeUndefined();
});

describe("referrers", () => {
  test("are those whose subject it is, and those that the tagged index lists", async () => {
    using dir = tempDir();
    const layout = new Layout(dir);
    const subject = layout.list(layout.manifest({}, OCI_CONFIG), "image");
    const named = layout.list(
      layout.manifest({ subject, artifactType: SIGNATURE, annotations: { who: "me" } }),
    );
    const plain = layout.list(layout.manifest({ subject, annotations: { who: "you" } }));
    layout.list(layout.manifest({ subject: plain }));
    const hidden = { ...layout.manifest({ subject, annotations: { who: "they" } }), artifactType: SIGNATURE };
    const fallback = layout.blob(OCI_INDEX, { schemaVersion: 2, manifests: [hidden, named] });
    layout.list(fallback, subject.digest.replace(":", "-"));

    const of = (digest: string, type?: string) =>
      layout.ask((related) => related.referrers(parseDigest(digest), type));
    const found = await of(subject.digest);
    expect(digests(found)).toEqual([named.digest, plain.digest, hidden.digest]);
    expect(found.map(({ artifactType }) => artifactType)).toEqual([SIGNATURE, EMPTY, SIGNATURE]);
    expect(found[0]!.annotations.get("who")).toBe("me");
    expect(digests(await of(subject.digest, SIGNATURE))).toEqual([named.digest, hidden.digest]);
    expect(digests(await of(named.digest))).toEqual([]);
  });

  test("of a damaged layout are not passed over", async () => {
    using dir = tempDir();
    const layout = new Layout(dir);
    const subject = layout.list(layout.manifest({}));
    const signature = layout.list(layout.manifest({ subject }));
    rmSync(layout.path(signature.digest));
    const failure = await layout
      .ask((related) => related.referrers(parseDigest(subject.digest)))
      .catch(describeError);
    expect(failure).toContain("does not exist");
  });
});
