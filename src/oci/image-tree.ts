import { CfsError, withContext } from "../errors.ts";
import { readFromObjects } from "../repository/read-file.ts";
import type { Repository } from "../repository/repository.ts";
import { openStreamObject } from "../repository/streams.ts";
import { applyBootTransform } from "../tree/boot-transform.ts";
import type { Directory } from "../tree/model.ts";
import { applyOciTransform, type XattrFilter } from "../tree/transform.ts";
import type { ObjectId } from "../verity/digest.ts";
import { digestAlgorithm, type OciDigest } from "./digest.ts";
import { openConfig, openManifest, parseStoredConfig, resolveName, type StoredConfig } from "./image.ts";
import { applyLayer, emptyRoot } from "./layering.ts";
import { isContainerImage } from "./manifest.ts";
import { sparseExpander } from "./sparse.ts";
import { hashStream, readStoredLayer } from "./stored-layer.ts";

export interface TreeOptions {
  readonly xattrs: XattrFilter;
  /** That of the bootable image. */
  readonly bootable?: boolean;
  /** Object of the config's splitstream, when an image given by digest is to be trusted instead of verified. */
  readonly configStream?: ObjectId;
}

/**
 * The tree of an image, made anew from its layers. An image named by a digest is verified against it down to the
 * layers' content, unless its config's stream is given.
 * @throws CfsError NotFound, Corrupt, Invalid
 */
export function imageTree(repository: Repository, name: string, options: TreeOptions): Directory {
  const { config, verify } = findConfig(repository, name, options.configStream);
  const { diffIds } = parseStoredConfig(config);
  const { namedRefs } = config.document;
  const root = emptyRoot();
  const expandSparse = sparseExpander(repository.objects, "compute");
  const verified = new Set<OciDigest>();
  for (const diffId of diffIds) {
    const stream = namedRefs.get(diffId);
    if (stream === undefined)
      throw new CfsError("Corrupt", `the config's stream has no reference to its layer ${diffId}`);
    if (verify && !verified.has(diffId)) {
      verifyLayer(repository, diffId, stream);
      verified.add(diffId);
    }
    try {
      applyLayer(root, readStoredLayer(repository, diffId, stream), expandSparse);
    } catch (error) {
      throw withContext(`layer ${diffId}`, error);
    }
  }
  applyOciTransform(root, options.xattrs);
  if (options.bootable) applyBootTransform(root, readFromObjects(repository.objects));
  return root;
}

/** The tree that layers make which are in the repository, as replayed: the rules for images are not applied. */
export function replayLayers(repository: Repository, diffIds: readonly OciDigest[]): Directory {
  const root = emptyRoot();
  const expandSparse = sparseExpander(repository.objects, "compute");
  for (const diffId of diffIds) {
    try {
      applyLayer(root, readStoredLayer(repository, diffId), expandSparse);
    } catch (error) {
      throw withContext(`layer ${diffId}`, error);
    }
  }
  return root;
}

function findConfig(
  repository: Repository,
  name: string,
  configStream: ObjectId | undefined,
): { config: StoredConfig; verify: boolean } {
  const { document, digest, byDigest } = resolveName(repository, name);
  const verify = byDigest && configStream === undefined;
  if (document === "config")
    return { config: openConfig(repository, digest, byDigest ? configStream : undefined), verify };
  const image = openManifest(repository, digest);
  if (!isContainerImage(image.manifest)) {
    throw new CfsError(
      "Unsupported",
      `${name} is an artifact of type ${image.manifest.config.mediaType}, which has no files`,
    );
  }
  if (byDigest && configStream !== undefined)
    return { config: openConfig(repository, image.config.digest, configStream), verify };
  return { config: image.config, verify };
}

function verifyLayer(repository: Repository, diffId: OciDigest, id: ObjectId): void {
  using stream = openStreamObject(repository, id);
  const found = hashStream(repository, stream, digestAlgorithm(diffId));
  if (found !== diffId)
    throw new CfsError("Corrupt", `Layer ${diffId} has incorrect checksum: computed ${found}`, {
      data: { expected: diffId, found },
    });
}
