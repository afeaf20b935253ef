import { fromText } from "../bytes.ts";
import { CfsError, describeError } from "../errors.ts";
import { lookUpImage } from "../repository/images.ts";
import { linkTarget } from "../repository/links.ts";
import { REFS } from "../repository/names.ts";
import type { Repository } from "../repository/repository.ts";
import { lookUpStream, openStreamObject } from "../repository/streams.ts";
import { CONTENT_CONFIG, CONTENT_MANIFEST } from "../splitstream/format.ts";
import type { ObjectId } from "../verity/digest.ts";
import { type ImageConfig, MAX_CONFIG_SIZE, parseConfig } from "./config.ts";
import { computeDigest, digestAlgorithm, isDigest, isSupportedAlgorithm, type OciDigest } from "./digest.ts";
import { readDocument, type StoredDocument } from "./documents.ts";
import { readIndexRefs } from "./index-refs.ts";
import { isContainerImage, MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "./manifest.ts";
import { listReferrers } from "./referrers.ts";
import { isLinked } from "./repair.ts";
import { sealsOf } from "./seal.ts";
import { readStoredIndex } from "./stored-index.ts";
import { blobRef, blobStream, configRef, configStream, layerStream, manifestStream } from "./streams.ts";
import { encodeTag, listTags, lookUpTag, tagRef } from "./tags.ts";

export interface OciFsckReport {
  imagesChecked: number;
  imagesCorrupted: number;
  readonly faults: ImageFault[];
  /** The lines of the faults. */
  readonly errors: readonly string[];
}

/** What is wrong with an image. */
export interface ImageFault {
  readonly kind: string;
  /** The tag or digest that was checked. */
  readonly image: string;
  readonly detail: string;
  /** The manifest that it is about, which may be another one than that of the image: one that refers to it, say. */
  readonly manifest: OciDigest | undefined;
}

export interface CheckImagesOptions {
  /**
   * Streams that have another content than their names say. Links that can be done without are then looked for too:
   * composefs-rs collects what is in the images of a config that has none.
   */
  readonly wrongStreams?: ReadonlySet<string>;
}

/** `fsck: kind: image: detail` */
function lineOfFault({ kind, image, detail }: ImageFault): string {
  return `fsck: ${kind}: ${image}: ${detail}`;
}

/**
 * Checks that tagged images are complete: manifest and config are what their digests say, each layer is named by
 * both of them, linked and present. The same of what is kept with them: the index and the images that it lists, blobs as
 * they were pulled, what refers to them.
 * @param name one tag, or the digest of a manifest with or without `@`; all tags by default.
 */
export function checkImages(
  repository: Repository,
  name?: string,
  options: CheckImagesOptions = {},
): OciFsckReport {
  const report: OciFsckReport = {
    imagesChecked: 0,
    imagesCorrupted: 0,
    faults: [],
    get errors() {
      return this.faults.map(lineOfFault);
    },
  };
  const names = name === undefined ? listTags(repository).map((tag) => tag.name) : [name];
  const referrers = listReferrers(repository);
  for (const tag of names) {
    // Another process may have removed it since it was listed.
    if (name === undefined && !hasTag(repository, tag)) continue;
    const check = new ImageCheck(repository, tag, referrers, options);
    const digest = name?.replace(/^@/, "") ?? "";
    if (isDigest(digest) && lookUpTag(repository, tag) === undefined) check.manifest(digest);
    else check.tag();
    report.imagesChecked++;
    if (check.faults.length > 0) report.imagesCorrupted++;
    report.faults.push(...check.faults);
  }
  return report;
}

/** Whether there is such a tag, whatever it points to. */
function hasTag({ dir }: Repository, name: string): boolean {
  return linkTarget(dir.fd, fromText(`streams/${REFS}/${tagRef(name)}`)) !== undefined;
}

type Referrers = ReturnType<typeof listReferrers>;

class ImageCheck {
  readonly faults: ImageFault[] = [];
  readonly #repository: Repository;
  readonly #tag: string;
  readonly #referrers: Referrers;
  readonly #options: CheckImagesOptions;
  /** Manifests that need no second look. */
  readonly #seen: Set<OciDigest>;

  /** The one that is looked at. */
  #manifest: OciDigest | undefined;
  /** Begins the details about what is not the tagged image itself. */
  readonly #prefix: string;

  constructor(
    repository: Repository,
    tag: string,
    referrers: Referrers,
    options: CheckImagesOptions,
    seen = new Set<OciDigest>(),
    prefix = "",
  ) {
    this.#repository = repository;
    this.#tag = tag;
    this.#referrers = referrers;
    this.#options = options;
    this.#seen = seen;
    this.#prefix = prefix;
  }

  tag(): void {
    if (this.#tag.startsWith("@")) {
      this.#report("invalid-ref-name", "leading '@' is reserved for digest references");
      return;
    }
    const digest = this.#try("ref-resolve-failed", () => {
      const found = lookUpTag(this.#repository, this.#tag);
      if (found === undefined) throw new CfsError("NotFound", `OCI reference not found: ${this.#tag}`);
      return found;
    });
    if (digest === undefined) return;
    this.manifest(digest);
    this.#manifest = undefined;
    this.#checkIndex();
  }

  manifest(digest: OciDigest): void {
    this.#seen.add(digest);
    this.#checkReferrers(digest);
    this.#manifest = digest;
    const stored = this.#try("manifest-read-failed", () => this.#readManifest(digest));
    if (stored === undefined || !this.#isIntact(stored, digest, "manifest-digest-mismatch")) return;
    const manifest = this.#try("manifest-parse-failed", () =>
      parseManifest(stored.bytes, digestAlgorithm(digest)),
    );
    if (manifest !== undefined) this.#checkConfig(manifest, stored);
  }

  /** One that belongs to the image. */
  #checkOther(digest: OciDigest): void {
    if (this.#seen.has(digest)) return;
    const check = new ImageCheck(
      this.#repository,
      this.#tag,
      this.#referrers,
      this.#options,
      this.#seen,
      `${digest}: `,
    );
    check.manifest(digest);
    this.faults.push(...check.faults);
  }

  #checkReferrers(subject: OciDigest): void {
    for (const digest of this.#referrers.get(subject) ?? []) this.#checkOther(digest);
  }

  #checkIndex(): void {
    const stored = this.#try("index-read-failed", () => {
      const index = readStoredIndex(this.#repository, this.#tag);
      const refs = readIndexRefs(this.#repository, encodeTag(this.#tag));
      if (refs !== undefined && refs.index === undefined)
        throw new CfsError("Corrupt", "the link to the index is missing");
      return index;
    });
    if (stored === undefined) return;
    this.#checkReferrers(stored.digest);
    for (const { digest } of stored.index.manifests) this.#checkOther(digest);
  }

  #readManifest(digest: OciDigest): StoredDocument {
    const id = lookUpStream(this.#repository, manifestStream(digest));
    if (id === undefined) throw new CfsError("NotFound", `there is no manifest ${digest}`);
    return readDocument(this.#repository, id, CONTENT_MANIFEST, MAX_MANIFEST_SIZE);
  }

  #checkConfig(manifest: Manifest, stored: StoredDocument): void {
    const { digest } = manifest.config;
    const id = stored.namedRefs.get(configRef(digest));
    if (id === undefined) {
      this.#report("config-ref-missing", `no reference to ${digest}`);
      return;
    }
    this.#expectStream("config-stream-missing", digest, configStream(digest));
    const document = this.#try("config-read-failed", () =>
      readDocument(this.#repository, id, CONTENT_CONFIG, MAX_CONFIG_SIZE),
    );
    if (document === undefined || !this.#isIntact(document, digest, "config-digest-mismatch")) return;
    if (!isContainerImage(manifest)) {
      this.#checkArtifact(manifest, stored);
      return;
    }
    const config = this.#try("config-parse-failed", () =>
      parseConfig(document.bytes, digestAlgorithm(digest)),
    );
    if (config !== undefined) this.#checkImage(manifest, config, document);
    for (const layer of manifest.layers) {
      const blob = stored.namedRefs.get(blobRef(layer.digest));
      if (blob === undefined) continue;
      this.#expectStream("kept-blob-stream-missing", layer.digest, blobStream(layer.digest));
      this.#checkObjects("kept-blob-object-missing", layer.digest, blob);
    }
  }

  #checkImage(manifest: Manifest, config: ImageConfig, document: StoredDocument): void {
    for (const diffId of new Set(config.diffIds)) {
      const id = document.namedRefs.get(diffId);
      if (id === undefined) this.#report("layer-ref-missing", `no reference to ${diffId}`);
      else this.#checkLayer(diffId, id);
    }
    const { algorithm } = this.#repository;
    const seals = this.#try("seal-image-missing", () => sealsOf(manifest, config, algorithm)) ?? [];
    for (const { id } of seals) this.#try("seal-image-missing", () => lookUpImage(this.#repository, id));
  }

  #checkLayer(diffId: OciDigest, id: ObjectId): void {
    const linked = this.#try("layer-check-failed", () => ({
      id: lookUpStream(this.#repository, layerStream(diffId)),
    }));
    if (linked === undefined) return;
    if (linked.id === undefined) this.#report("layer-stream-missing", diffId);
    else this.#expectStream("layer-stream-invalid", diffId, layerStream(diffId));
    this.#checkObjects("layer-object-missing", diffId, id);
  }

  /** A link that is not needed to use the image. */
  #expectStream(kind: string, digest: OciDigest, name: string): void {
    const { wrongStreams } = this.#options;
    if (wrongStreams === undefined) return;
    if (!isLinked(this.#repository, name) || wrongStreams.has(name)) this.#report(kind, digest);
  }

  #checkArtifact(manifest: Manifest, stored: StoredDocument): void {
    for (const { digest } of manifest.layers) {
      const id = stored.namedRefs.get(digest);
      if (id === undefined) this.#report("artifact-layer-ref-missing", `no reference to ${digest}`);
      else {
        this.#expectStream("artifact-layer-stream-missing", digest, layerStream(digest));
        this.#checkObjects("artifact-layer-object-missing", digest, id);
      }
    }
  }

  #checkObjects(kind: string, digest: OciDigest, id: ObjectId): void {
    const { objects } = this.#repository;
    if (!objects.has(id)) {
      this.#report(kind, `${digest}: object ${id}`);
      return;
    }
    this.#try("layer-check-failed", () => {
      using stream = openStreamObject(this.#repository, id);
      for (const object of stream.reader.objectRefs) {
        if (!objects.has(object)) this.#report(kind, `${digest}: object ${object}`);
      }
    });
  }

  #isIntact({ bytes }: StoredDocument, expected: OciDigest, kind: string): boolean {
    const algorithm = digestAlgorithm(expected);
    const found = isSupportedAlgorithm(algorithm) ? computeDigest(bytes, algorithm) : undefined;
    if (found === expected) return true;
    this.#report(
      kind,
      `expected ${expected}, got ${found ?? `a digest of the unknown algorithm ${algorithm}`}`,
    );
    return false;
  }

  /** What `action` returns, or undefined when it failed, which is reported. */
  #try<T>(kind: string, action: () => T): T | undefined {
    try {
      return action();
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      this.#report(kind, describeError(error));
      return undefined;
    }
  }

  #report(kind: string, detail: string): void {
    const manifest = this.#manifest;
    this.faults.push({ kind, image: this.#tag, detail: this.#prefix + detail, manifest });
  }
}
