import { join } from "node:path";
import { signatureStorage } from "../containers/registries-d.ts";
import { digestHex } from "../digest.ts";
import type { ImageReference } from "../reference.ts";
import type { RegistryConfiguration } from "../registry/types.ts";
import { Finder, MAX_SIGNATURES, type Search } from "./found-signatures.ts";
import { checkLookaside, findInLookaside, readSignatureFile } from "./lookaside.ts";
import type { Subject } from "./subject.ts";

/** Signatures of other formats that are kept beside simple ones begin with a zero byte and their format's name. */
const OTHER_FORMAT = 0;

/** Finds the simple signatures of an image: in the lookaside storage of a registry, or in a `dir:` beside the image. */
export async function findSimpleSignatures(
  reference: ImageReference,
  subject: Subject,
  configuration: () => RegistryConfiguration,
): Promise<Search<Uint8Array>> {
  const finder = new Finder<Uint8Array>();
  if (reference.transport === "docker") {
    const { lookaside } = signatureStorage(reference.name);
    checkLookaside(lookaside);
    for (const digest of subject.digests)
      await findInLookaside(lookaside, reference.name, digest, configuration(), finder);
  } else if (reference.transport === "dir") {
    for (const { from, content } of signatureFiles(reference.path, subject))
      if (content[0] !== OTHER_FORMAT) finder.add(from, content);
    finder.places.push(`in ${reference.path}`);
  } else finder.places.push(`beside the image, as ${reference.transport}: has no place for one`);
  return finder;
}

/** The signatures of any format in a `dir:`: `signature-N` of its manifest, `HEX.signature-N` of others. */
export function signatureFiles(
  directory: string,
  { digests }: Subject,
): readonly { readonly from: string; readonly content: Uint8Array }[] {
  const finder = new Finder<Uint8Array>();
  for (const prefix of ["", ...digests.map((digest) => `${digestHex(digest)}.`)]) {
    for (let n = 1; n <= MAX_SIGNATURES + 1; n++) {
      const path = join(directory, `${prefix}signature-${n}`);
      const content = readSignatureFile(path);
      if (content === undefined) break;
      finder.add(path, content);
    }
  }
  return finder.signatures;
}
