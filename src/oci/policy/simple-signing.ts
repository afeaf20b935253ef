import { CfsError } from "../../errors.ts";
import { toDigest } from "../descriptor.ts";
import type { OciDigest } from "../digest.ts";
import { asObject, requiredObject, requiredString } from "../json.ts";
import { parseUnambiguousJson, refuseUnknown } from "./unambiguous-json.ts";

/** What a signature says about an image (containers-signature(5)). */
export interface SignedClaim {
  /** Of the manifest. */
  readonly digest: OciDigest;
  /** Name of the image; undefined when the format has none. */
  readonly name: string | undefined;
}

export const ATOMIC_SIGNATURE = "atomic container signature";
export const COSIGN_SIGNATURE = "cosign container image signature";

/**
 * Reads the signed payload of a simple signature. Everything critical must be understood.
 * @param bytes whose signature is verified.
 * @throws CfsError Invalid
 */
export function parseSimplePayload(bytes: Uint8Array, expectedType: string): SignedClaim {
  const what = "signed payload";
  const payload = parseUnambiguousJson(bytes, what);
  refuseUnknown(payload, ["critical", "optional"], what);
  if (payload.optional !== undefined && payload.optional !== null)
    asObject(payload.optional, `${what}: "optional"`);
  const critical = requiredObject(payload, "critical", what);
  refuseUnknown(critical, ["type", "image", "identity"], what);
  const type = requiredString(critical, "type", what);
  if (type !== expectedType)
    throw new CfsError("Invalid", `${what}: the type is ${JSON.stringify(type)}, not "${expectedType}"`);
  const image = requiredObject(critical, "image", what);
  refuseUnknown(image, ["docker-manifest-digest"], what);
  const identity = requiredObject(critical, "identity", what);
  refuseUnknown(identity, ["docker-reference"], what);
  return {
    digest: toDigest(requiredString(image, "docker-manifest-digest", what), what),
    name: requiredString(identity, "docker-reference", what),
  };
}
