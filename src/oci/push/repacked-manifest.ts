import type { Descriptor } from "../descriptor.ts";
import { computeDigest, type OciDigest } from "../digest.ts";
import { asObject, type JsonObject, parseJsonObject } from "../json.ts";
import type { Manifest } from "../manifest.ts";
import { DOCKER_MANIFEST, OCI_INDEX } from "../media-types.ts";
import type { StoredIndex } from "../stored-index.ts";
import type { Publication } from "./target.ts";

/** Annotation of a manifest or index whose layers were compressed anew: the digest of what was pulled. */
export const REPACKED_FROM = "org.composefs.cfsctl.repacked-from";

/** Annotations that speak of the compressed bytes of a layer, which are others now. */
const OF_COMPRESSED_BYTES = [
  "io.github.containers.zstd-chunked.",
  "io.containers.estargz.",
  "containerd.io/snapshot/stargz/",
];

/** A layer as it is published: the same in every respect but how it is compressed. */
export interface PublishedLayer {
  readonly mediaType: string;
  readonly digest: OciDigest;
  readonly size: number;
}

/** A manifest that is in the repository, as it is published when all of its layers are. */
export function originalPublication(manifest: Manifest): Publication {
  const { bytes, digest, mediaType, subject, artifactType, annotations, config } = manifest;
  return {
    bytes: new Uint8Array(bytes),
    digest,
    mediaType,
    subject,
    artifactType: artifactType ?? config.mediaType,
    annotations,
  };
}

/**
 * The manifest with other layers: compact JSON whose members stand in the order of the OCI image specification. The
 * same manifest and layers give the same bytes. Manifests of docker's schema 2 have no place for a note of it.
 */
export function repackedManifest(manifest: Manifest, layers: readonly PublishedLayer[]): Publication {
  const original = parseJsonObject(manifest.bytes, "manifest");
  const originalLayers = original.layers as readonly unknown[];
  const annotations = repackedAnnotations(manifest);
  const isDocker = manifest.mediaType === DOCKER_MANIFEST;
  const document = {
    schemaVersion: 2,
    mediaType: manifest.mediaType,
    ...member(original, "artifactType"),
    config: original.config,
    layers: layers.map((layer, i) =>
      repackedLayer(asObject(originalLayers[i], `manifest: layer ${i}`), manifest.layers[i]!, layer),
    ),
    ...member(original, "subject"),
    ...(isDocker ? {} : { annotations: Object.fromEntries(annotations) }),
  };
  const bytes = new Uint8Array(Buffer.from(JSON.stringify(document)));
  return {
    ...originalPublication(manifest),
    bytes,
    digest: computeDigest(bytes),
    ...(isDocker ? {} : { annotations }),
  };
}

/**
 * The index that lists the manifests as they are published; the one in the repository when all are as they were.
 * @param published by the digest that the repository's index has.
 */
export function repackedIndex(
  stored: StoredIndex,
  published: ReadonlyMap<OciDigest, Publication>,
): Publication {
  const { bytes, digest, mediaType, index } = stored;
  const isOriginal = index.manifests.every((entry) => published.get(entry.digest)!.digest === entry.digest);
  const same = { subject: undefined, artifactType: undefined, annotations: index.annotations };
  if (isOriginal) return { bytes, digest, mediaType, ...same };
  const original = parseJsonObject(bytes, "index");
  const annotations = repackedAnnotations({ annotations: index.annotations, digest });
  const manifests = (original.manifests as readonly unknown[]).map((value, i) =>
    repackedEntry(asObject(value, `index: manifest ${i}`), index.manifests[i]!, published),
  );
  const isDocker = mediaType !== OCI_INDEX;
  const repacked = {
    ...original,
    manifests,
    ...(!isDocker && { annotations: Object.fromEntries(annotations) }),
  };
  const repackedBytes = new Uint8Array(Buffer.from(JSON.stringify(repacked)));
  return {
    bytes: repackedBytes,
    digest: computeDigest(repackedBytes),
    mediaType,
    ...same,
    ...(!isDocker && { annotations }),
  };
}

/** Attestations name the image of the same index that they are about. */
const ABOUT = "vnd.docker.reference.digest";

function repackedEntry(
  original: JsonObject,
  { digest, annotations }: Descriptor,
  published: ReadonlyMap<OciDigest, Publication>,
): JsonObject {
  const document = published.get(digest)!;
  const about = published.get(annotations.get(ABOUT) as OciDigest);
  // A copy of the manifest may be embedded.
  const { data, ...others } = original;
  return {
    ...(document.digest === digest ? original : others),
    digest: document.digest,
    size: document.bytes.length,
    ...(about !== undefined && {
      annotations: { ...Object.fromEntries(annotations), [ABOUT]: about.digest },
    }),
  };
}

function repackedAnnotations({
  annotations,
  digest,
}: Pick<Manifest, "annotations" | "digest">): ReadonlyMap<string, string> {
  const origin = annotations.get(REPACKED_FROM) ?? digest;
  const all = [...annotations].filter(([key]) => key !== REPACKED_FROM);
  return new Map([...all, [REPACKED_FROM, origin] as const].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function repackedLayer(original: JsonObject, descriptor: Descriptor, layer: PublishedLayer): JsonObject {
  if (layer.digest === descriptor.digest) return original;
  const annotations = [...descriptor.annotations].filter(
    ([key]) => !OF_COMPRESSED_BYTES.some((prefix) => key.startsWith(prefix)),
  );
  const { mediaType, digest, size } = layer;
  return {
    mediaType,
    digest,
    size,
    ...(annotations.length > 0 && { annotations: Object.fromEntries(annotations) }),
  };
}

function member(object: JsonObject, key: string): JsonObject {
  return object[key] === undefined || object[key] === null ? {} : { [key]: object[key] };
}
