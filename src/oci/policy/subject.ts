import type { OciDigest } from "../digest.ts";
import { type ImageReference, isImageId } from "../reference.ts";
import { parseDockerReference } from "../registry/reference.ts";
import type { FoundManifest } from "../source.ts";
import { problemOfIdentity, problemOfNameless } from "./identity-rule.ts";
import { type ImageName, nameOf } from "./image-name.ts";
import type { IdentityRule } from "./requirements.ts";
import type { SignedClaim } from "./simple-signing.ts";

/** What a signature has to be for. */
export interface Subject {
  /** Of the manifest, and of the index that it was chosen from, which vouches for it. */
  readonly digests: readonly OciDigest[];
  /** Undefined when the transport knows no such names. */
  readonly name: ImageName | undefined;
}

export function subjectOf(reference: ImageReference, { digest, index }: FoundManifest): Subject {
  return {
    digests: index === undefined || index.digest === digest ? [digest] : [digest, index.digest],
    name: wantedName(reference),
  };
}

/** The name by which the user asks for an image, if it is one that signatures can be for. */
export function wantedName(reference: ImageReference): ImageName | undefined {
  if (reference.transport === "docker") return nameOf(reference.name);
  if (reference.transport !== "docker-archive" && reference.transport !== "docker-daemon") return undefined;
  const { image } = reference;
  if (typeof image !== "string" || isImageId(image)) return undefined;
  return nameOf(parseDockerReference(image));
}

/** Why a verified claim is not about the image; undefined when it is. */
export function problemOfClaim(claim: SignedClaim, rule: IdentityRule, subject: Subject): string | undefined {
  const identity =
    claim.name === undefined
      ? problemOfNameless(rule, subject.name)
      : problemOfIdentity(rule, subject.name, claim.name);
  if (identity !== undefined) return identity;
  if (subject.digests.includes(claim.digest)) return undefined;
  return `the signature is for ${claim.digest}, not for ${subject.digests.join(" or ")}`;
}
