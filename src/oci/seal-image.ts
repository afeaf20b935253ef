import { imageDigest } from "../erofs/writer.ts";
import { CfsError, withContext } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import type { ObjectId } from "../verity/digest.ts";
import { commitImage } from "./commit.ts";
import { parseConfig } from "./config.ts";
import { digestAlgorithm, type OciDigest } from "./digest.ts";
import { imageConfigOf, openImage, resolveName } from "./image.ts";
import { imageTree, replayLayers } from "./image-tree.ts";
import { setJsonMember } from "./json-edit.ts";
import { type Manifest, parseManifest } from "./manifest.ts";
import { recordReferrer } from "./referrers.ts";
import { SEAL_LABEL } from "./seal.ts";
import { checkTagName, writeTag } from "./tags.ts";

export interface SealOptions {
  /** Tag for the sealed image; the one that the image was named by unless given. */
  readonly tag?: string;
  /** Seal the bootable image, not the plain one. */
  readonly bootable?: boolean;
}

export interface SealReport {
  readonly manifest: OciDigest;
  readonly config: OciDigest;
  /** Object of the manifest's stream. */
  readonly verity: ObjectId;
  /** The EROFS image that the label names. */
  readonly image: ObjectId;
  readonly tag: string;
}

/**
 * Writes the digest of an image's EROFS image, in the repository's default format, as a label into a copy of its
 * config, and tags the image that has this config. The layers are the same, and so is the EROFS image.
 * @param name tag, or digest of the manifest; the image is verified down to the content of its layers.
 * @throws CfsError NotFound, Corrupt; Invalid for an artifact; Usage for a digest without tag
 */
export function sealImage(repository: Repository, name: string, options: SealOptions = {}): SealReport {
  const { bootable = false } = options;
  const tag = options.tag ?? name;
  if (options.tag !== undefined) checkTagName(options.tag);
  repository.ensureWritable();
  const { byDigest } = resolveName(repository, name);
  if (byDigest && options.tag === undefined)
    throw new CfsError("Usage", `${name} is no tag`, {
      hint: "say with --tag how the sealed image is to be called",
    });
  const image = openImage(repository, name);
  const config = imageConfigOf(image);
  if (config === undefined)
    throw new CfsError("Invalid", `${name} is an artifact, of which no EROFS image is made`);
  try {
    // By digest: the layers are verified before their content is vouched for.
    const root = imageTree(repository, `@${image.manifest.digest}`, { xattrs: "allowlist-only", bootable });
    const id = imageDigest(root, repository.erofsVersion, repository.algorithm);
    const sealedConfig = parseConfig(
      setJsonMember(config.bytes, ["config", "Labels", SEAL_LABEL], id, "config"),
      digestAlgorithm(config.digest),
    );
    const manifest = withConfig(image.manifest, sealedConfig);
    const tree = replayLayers(repository, sealedConfig.diffIds);
    const committed = commitImage(repository, manifest, sealedConfig, tree, { bootable });
    recordReferrer(repository, manifest);
    writeTag(repository, manifest.digest, tag);
    return {
      manifest: manifest.digest,
      config: sealedConfig.digest,
      verity: committed.manifestStream,
      image: id,
      tag,
    };
  } catch (error) {
    throw withContext(`sealing ${name}`, error);
  }
}

/** The same manifest with another config of the same type. */
function withConfig(
  manifest: Manifest,
  config: { digest: OciDigest; bytes: Uint8Array<ArrayBufferLike> },
): Manifest {
  const values: [string, string | number][] = [
    ["digest", config.digest],
    ["size", config.bytes.length],
  ];
  // A copy of the config may be embedded in its descriptor.
  const { config: descriptor } = JSON.parse(new TextDecoder().decode(manifest.bytes));
  if (typeof descriptor.data === "string")
    values.push(["data", Buffer.from(config.bytes).toString("base64")]);
  let bytes = manifest.bytes;
  for (const [key, value] of values) bytes = setJsonMember(bytes, ["config", key], value, "manifest");
  return parseManifest(bytes, digestAlgorithm(manifest.digest));
}
