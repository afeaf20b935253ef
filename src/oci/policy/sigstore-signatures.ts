import { CfsError, describeError, kindOf } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import { digestAlgorithm, digestHex, type OciDigest } from "../digest.ts";
import { parseJsonObject, requiredString, stringMap } from "../json.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../manifest.ts";
import { isManifestType } from "../media-types.ts";
import type { ImageReference } from "../reference.ts";
import type { DocumentStore, ImageSource, RelatedManifests } from "../source.ts";
import { type CosignSignature, SIMPLE_SIGNING_TYPE } from "./cosign-signature.ts";
import { Finder, MAX_SIGNATURE_SIZE, MAX_SIGNATURES, type Search } from "./found-signatures.ts";
import { BUNDLE_TYPE_PREFIX } from "./sigstore-bundle.ts";
import { signatureFiles } from "./simple-signatures.ts";
import type { Subject } from "./subject.ts";

/** A signature in one of the forms that sigstore has, or why what was found can't be one. */
export type SigstoreSignature =
  | CosignSignature
  | { readonly bundle: Uint8Array }
  | { readonly unreadable: string };

/** Artifact type of signatures that cosign 2 attaches as referrers. */
const COSIGN_REFERRER = "application/vnd.dev.cosign.artifact.sig.v1+json";
/** What a signature in a `dir:` begins with when it is cosign's. */
const DIRECTORY_PREFIX = Buffer.from("\0sigstore-json\n", "latin1");

/**
 * Finds sigstore's signatures of an image: in the image that is tagged `sha256-HEX.sig`, in referrers, or in a `dir:`.
 */
export async function findSigstoreSignatures(
  reference: ImageReference,
  { related }: ImageSource,
  subject: Subject,
): Promise<Search<SigstoreSignature>> {
  const finder = new Finder<SigstoreSignature>();
  if (reference.transport === "dir") {
    for (const { from, content } of signatureFiles(reference.path, subject))
      if (isPrefixed(content))
        finder.add(from, parseDirectoryForm(content.subarray(DIRECTORY_PREFIX.length)));
    finder.places.push(`in ${reference.path}`);
  }
  for (const digest of related === undefined ? [] : subject.digests)
    await findRelated(related!, digest, finder);
  if (finder.places.length === 0)
    finder.places.push(`beside the image, as ${reference.transport}: has no place for one`);
  return finder;
}

function isPrefixed(content: Uint8Array): boolean {
  return DIRECTORY_PREFIX.equals(content.subarray(0, DIRECTORY_PREFIX.length));
}

function parseDirectoryForm(bytes: Uint8Array): SigstoreSignature {
  const what = "signature";
  try {
    const object = parseJsonObject(bytes, what);
    const type = requiredString(object, "mimeType", what);
    if (type !== SIMPLE_SIGNING_TYPE)
      return { unreadable: `signatures of type ${JSON.stringify(type)} are not supported` };
    return {
      payload: Buffer.from(requiredString(object, "payload", what), "base64"),
      annotations: stringMap(object, "annotations", what),
    };
  } catch (error) {
    return unreadable(error);
  }
}

async function findRelated(
  related: RelatedManifests,
  digest: OciDigest,
  finder: Finder<SigstoreSignature>,
): Promise<void> {
  const tag = `${digestAlgorithm(digest)}-${digestHex(digest)}.sig`;
  finder.places.push(`under the tag ${tag}`, `among the referrers of ${digest}`);
  const tagged = await related.manifestByTag(tag);
  if (tagged !== undefined) await addLayers(related, tagged.bytes, tagged.digest, `the tag ${tag}`, finder);
  const referrers = (await related.referrers(digest)).filter(isSignature);
  if (referrers.length > MAX_SIGNATURES)
    throw new CfsError("Invalid", `${digest} has more than ${MAX_SIGNATURES} signatures as referrers`);
  for (const referrer of referrers) {
    const from = `the referrer ${referrer.digest}`;
    const bytes = await read(related, referrer, MAX_MANIFEST_SIZE, "Signature manifest", from, finder);
    if (bytes !== undefined) await addLayers(related, bytes, referrer.digest, from, finder);
  }
}

function isSignature({ mediaType, artifactType }: Descriptor): boolean {
  return (
    isManifestType(mediaType) &&
    (artifactType === COSIGN_REFERRER || artifactType?.startsWith(BUNDLE_TYPE_PREFIX) === true)
  );
}

/** Every layer is a signature. */
async function addLayers(
  store: DocumentStore,
  bytes: Uint8Array,
  digest: OciDigest,
  from: string,
  finder: Finder<SigstoreSignature>,
): Promise<void> {
  let layers: readonly Descriptor[];
  try {
    ({ layers } = parseManifest(bytes, digestAlgorithm(digest)));
  } catch (error) {
    finder.add(from, unreadable(error));
    return;
  }
  for (const layer of layers) {
    const isBundle = layer.mediaType.startsWith(BUNDLE_TYPE_PREFIX);
    if (!isBundle && layer.mediaType !== SIMPLE_SIGNING_TYPE) continue;
    const content = await read(store, layer, MAX_SIGNATURE_SIZE, "Signature", from, finder);
    if (content === undefined) continue;
    finder.add(from, isBundle ? { bundle: content } : { payload: content, annotations: layer.annotations });
  }
}

/** What can't be read is no signature; but when the network fails, nobody knows what there is. */
async function read(
  store: DocumentStore,
  descriptor: Descriptor,
  max: number,
  what: string,
  from: string,
  finder: Finder<SigstoreSignature>,
): Promise<Uint8Array | undefined> {
  try {
    return await store.readDocument(descriptor, max, what);
  } catch (error) {
    const kind = kindOf(error);
    if (kind !== "NotFound" && kind !== "Corrupt" && kind !== "Invalid" && kind !== "Unsupported")
      throw error;
    finder.add(from, unreadable(error));
    return undefined;
  }
}

function unreadable(error: unknown): SigstoreSignature {
  return { unreadable: describeError(error) };
}
