import { CfsError, withContext } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { lookUpStream } from "../repository/streams.ts";
import { CONTENT_CONFIG, CONTENT_MANIFEST } from "../splitstream/format.ts";
import type { ObjectId } from "../verity/digest.ts";
import { type ImageConfig, MAX_CONFIG_SIZE, parseConfig } from "./config.ts";
import { computeDigest, digestAlgorithm, isDigest, isSupportedAlgorithm, type OciDigest } from "./digest.ts";
import { readDocument, type StoredDocument } from "./documents.ts";
import { isContainerImage, MAX_MANIFEST_SIZE, type Manifest, parseManifest } from "./manifest.ts";
import { configRef, configStream, manifestStream } from "./streams.ts";
import { lookUpTag } from "./tags.ts";

/** What a name given by the user leads to. */
export interface ResolvedName {
  readonly document: "manifest" | "config";
  readonly digest: OciDigest;
  /** The user gave the digest, not a tag: what hangs on it is verified down to the layers. */
  readonly byDigest: boolean;
}

/**
 * Finds what `NAME` (a tag), `@DIGEST` or a bare `DIGEST` means; the digest may be a manifest's or a config's.
 * @throws CfsError Usage for a malformed digest after `@`, NotFound
 */
export function resolveName(repository: Repository, name: string): ResolvedName {
  const marked = name.startsWith("@");
  const text = marked ? name.slice(1) : name;
  if (isDigest(text)) {
    for (const [document, stream] of [
      ["manifest", manifestStream(text)],
      ["config", configStream(text)],
    ] as const) {
      if (lookUpStream(repository, stream) !== undefined) return { document, digest: text, byDigest: true };
    }
  } else if (marked) {
    throw new CfsError("Usage", `invalid image '${name}': Invalid OCI digest after '@'`);
  }
  const manifest = marked ? undefined : lookUpTag(repository, name);
  if (manifest === undefined) {
    throw new CfsError("NotFound", `OCI reference not found: ${name}`, {
      hint: "`cfsctl oci images` lists the tags; digests of manifests and configs are understood too",
    });
  }
  return { document: "manifest", digest: manifest, byDigest: false };
}

export interface StoredConfig {
  readonly digest: OciDigest;
  readonly document: StoredDocument;
}

/** A manifest in the repository with its config; both have been compared with their digests. */
export interface StoredImage {
  readonly manifest: Manifest;
  readonly document: StoredDocument;
  readonly config: StoredConfig;
}

/** Opens the image that a name leads to. @throws CfsError NotFound, Corrupt; Invalid for the digest of a config */
export function openImage(repository: Repository, name: string): StoredImage {
  const { document, digest } = resolveName(repository, name);
  if (document === "config") {
    throw new CfsError("Invalid", `${name} is a config, but a manifest is needed`, {
      hint: "name the image by a tag or by its manifest's digest",
    });
  }
  return openManifest(repository, digest);
}

/** The config that a name leads to, or that of the image that it leads to. @throws CfsError NotFound, Corrupt */
export function openNamedConfig(repository: Repository, name: string): StoredConfig {
  const { document, digest } = resolveName(repository, name);
  return document === "config" ? openConfig(repository, digest) : openManifest(repository, digest).config;
}

/** @throws CfsError NotFound, Corrupt */
export function openManifest(repository: Repository, digest: OciDigest): StoredImage {
  try {
    const { document, manifest } = readManifest(repository, digest);
    return { manifest, document, config: openConfigOf(repository, manifest, document) };
  } catch (error) {
    throw withContext(`image ${digest}`, error);
  }
}

/** A manifest without its config. @throws CfsError NotFound, Corrupt */
export function readManifest(
  repository: Repository,
  digest: OciDigest,
): { manifest: Manifest; document: StoredDocument } {
  const id = lookUpStream(repository, manifestStream(digest));
  if (id === undefined) throw new CfsError("NotFound", `there is no manifest ${digest} in the repository`);
  const document = readDocument(repository, id, CONTENT_MANIFEST, MAX_MANIFEST_SIZE);
  checkIntegrity(document, digest, "Manifest integrity failed");
  return { manifest: parseManifest(document.bytes, digestAlgorithm(digest)), document };
}

function openConfigOf(repository: Repository, manifest: Manifest, document: StoredDocument): StoredConfig {
  const { digest } = manifest.config;
  const id = document.namedRefs.get(configRef(digest));
  if (id === undefined)
    throw new CfsError("Corrupt", `the manifest's stream has no reference to its config ${digest}`);
  return openConfig(repository, digest, id);
}

/** @param stream object of the config's splitstream, when it is not to be found by the digest. */
export function openConfig(repository: Repository, digest: OciDigest, stream?: ObjectId): StoredConfig {
  const id = stream ?? lookUpStream(repository, configStream(digest));
  if (id === undefined) throw new CfsError("NotFound", `there is no config ${digest} in the repository`);
  const document = readDocument(repository, id, CONTENT_CONFIG, MAX_CONFIG_SIZE);
  checkIntegrity(document, digest, "Config integrity check failed");
  return { digest, document };
}

function checkIntegrity({ bytes }: StoredDocument, expected: OciDigest, what: string): void {
  const algorithm = digestAlgorithm(expected);
  if (!isSupportedAlgorithm(algorithm))
    throw new CfsError("Unsupported", `digest algorithm ${algorithm} is not supported`);
  const found = computeDigest(bytes, algorithm);
  if (found !== expected)
    throw new CfsError("Corrupt", `${what}: expected ${expected}, got ${found}`, {
      data: { expected, found },
    });
}

/** The config of an image or artifact, parsed; undefined for artifacts. */
export function imageConfigOf({ manifest, config }: StoredImage): ImageConfig | undefined {
  if (!isContainerImage(manifest)) return undefined;
  return parseStoredConfig(config);
}

export function parseStoredConfig({ document, digest }: StoredConfig): ImageConfig {
  return parseConfig(document.bytes, digestAlgorithm(digest));
}
