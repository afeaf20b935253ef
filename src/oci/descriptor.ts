import { CfsError } from "../errors.ts";
import { type OciDigest, parseDigest } from "./digest.ts";
import {
  asObject,
  type JsonObject,
  optionalString,
  requiredSize,
  requiredString,
  stringMap,
} from "./json.ts";
import type { Platform } from "./platform.ts";

/** Reference to a blob (OCI image specification, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: OciDigest;
  /** Bytes. */
  readonly size: number;
  readonly annotations: ReadonlyMap<string, string>;
  readonly platform?: Platform;
  readonly artifactType?: string;
}

/** @throws CfsError Invalid */
export function parseDescriptor(value: unknown, what: string): Descriptor {
  const object = asObject(value, what);
  const platform = parsePlatformObject(object, what);
  const artifactType = optionalString(object, "artifactType", what);
  return {
    mediaType: requiredString(object, "mediaType", what),
    digest: digestMember(object, "digest", what),
    size: requiredSize(object, "size", what),
    annotations: stringMap(object, "annotations", what),
    ...(platform === undefined ? {} : { platform }),
    ...(artifactType === undefined ? {} : { artifactType }),
  };
}

function digestMember(object: JsonObject, key: string, what: string): OciDigest {
  return toDigest(requiredString(object, key, what), `${what}: "${key}"`);
}

/** As `parseDigest`, for digests that come from documents. @throws CfsError Invalid */
export function toDigest(text: string, what: string): OciDigest {
  try {
    return parseDigest(text);
  } catch (error) {
    throw new CfsError("Invalid", `${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function parsePlatformObject(object: JsonObject, what: string): Platform | undefined {
  const value = object.platform;
  if (value === undefined || value === null) return undefined;
  const platform = asObject(value, `${what}: "platform"`);
  const variant = optionalString(platform, "variant", what);
  return {
    os: requiredString(platform, "os", what),
    architecture: requiredString(platform, "architecture", what),
    ...(variant === undefined ? {} : { variant }),
  };
}
