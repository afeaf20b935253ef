import { CfsError } from "../errors.ts";
import { toDigest } from "./descriptor.ts";
import { computeDigest, digestAlgorithm, isSupportedAlgorithm, type OciDigest } from "./digest.ts";
import {
  asObject,
  optionalString,
  parseJsonObject,
  requiredArray,
  requiredObject,
  requiredString,
  stringMap,
} from "./json.ts";
import type { Platform } from "./platform.ts";

/** Configs hold labels and history; 8 MiB is far more than any tool makes. */
export const MAX_CONFIG_SIZE = 8 * 1024 * 1024;
const MAX_LAYERS = 10_000;

/** The part of an image config (OCI image specification, config.md) that matters here. */
export interface ImageConfig {
  /** As published. */
  readonly bytes: Uint8Array<ArrayBufferLike>;
  readonly digest: OciDigest;
  readonly platform: Platform;
  /** Digests of the plain tars, lowest layer first; the same one may come twice. */
  readonly diffIds: readonly OciDigest[];
  readonly created: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
}

/**
 * @param algorithm of the digest that the config is known by.
 * @throws CfsError Invalid
 */
export function parseConfig(bytes: Uint8Array<ArrayBufferLike>, algorithm = "sha256"): ImageConfig {
  if (bytes.length > MAX_CONFIG_SIZE)
    throw new CfsError("Invalid", `the config is larger than ${MAX_CONFIG_SIZE} bytes`);
  const object = parseJsonObject(bytes, "config");
  const rootfs = requiredObject(object, "rootfs", "config");
  requiredString(rootfs, "type", "config: rootfs");
  const diffIds = requiredArray(rootfs, "diff_ids", "config: rootfs", MAX_LAYERS).map((id, i) => {
    if (typeof id !== "string")
      throw new CfsError("Invalid", `config: rootfs: diff_ids[${i}] must be a string`);
    const digest = toDigest(id, `config: rootfs: diff_ids[${i}]`);
    if (!isSupportedAlgorithm(digestAlgorithm(digest)))
      throw new CfsError(
        "Unsupported",
        `config: diff ID algorithm ${digestAlgorithm(digest)} is not supported`,
      );
    return digest;
  });
  const variant = optionalString(object, "variant", "config");
  const settings =
    object.config === undefined || object.config === null ? {} : asObject(object.config, "config");
  return {
    bytes,
    digest: computeDigest(bytes, algorithm),
    platform: {
      os: requiredString(object, "os", "config"),
      architecture: requiredString(object, "architecture", "config"),
      ...(variant === undefined ? {} : { variant }),
    },
    diffIds,
    created: optionalString(object, "created", "config"),
    labels: stringMap(settings, "Labels", "config"),
  };
}
