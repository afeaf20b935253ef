import { CfsError } from "../../errors.ts";
import { isSignedBy } from "../../signature/public-key.ts";
import { toDigest } from "../descriptor.ts";
import { asObject, type JsonObject, requiredArray, requiredObject, requiredString } from "../json.ts";
import { NOT_TRUSTED, type SigstoreKeys, type Verdict } from "./cosign-signature.ts";
import type { SignedClaim } from "./simple-signing.ts";
import { type LoggedSignature, problemOfEntry, wholeNumber } from "./transparency-log.ts";
import { parseUnambiguousJson } from "./unambiguous-json.ts";

/** Media types of bundles begin with this, and go on with a version. */
export const BUNDLE_TYPE_PREFIX = "application/vnd.dev.sigstore.bundle";
const BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const STATEMENT_TYPE = "application/vnd.in-toto+json";
/** What cosign says when it signs an image, as opposed to attesting something about it. */
const SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1";
const MAX_ENTRIES = 64;
const WHAT = "sigstore bundle";

/**
 * Verifies a bundle of version 0.3 with an in-toto statement in a DSSE envelope, as cosign 3 writes it.
 * @throws CfsError Invalid
 */
export function verifyBundle(bytes: Uint8Array, { keys, rekorKeys }: SigstoreKeys): Verdict {
  const bundle = parseUnambiguousJson(bytes, WHAT);
  const mediaType = requiredString(bundle, "mediaType", WHAT);
  if (mediaType !== BUNDLE_TYPE)
    return { problem: `bundles of type ${JSON.stringify(mediaType)} are not supported` };
  if (bundle.dsseEnvelope === undefined) return { problem: "the bundle has no DSSE envelope" };
  const envelope = requiredObject(bundle, "dsseEnvelope", WHAT);
  const payloadType = requiredString(envelope, "payloadType", WHAT);
  const payload = Buffer.from(requiredString(envelope, "payload", WHAT), "base64");
  const [first, ...more] = requiredArray(envelope, "signatures", WHAT, MAX_ENTRIES);
  if (first === undefined || more.length > 0)
    return { problem: "the bundle must have exactly one signature" };
  const signature = Buffer.from(requiredString(asObject(first, WHAT), "sig", WHAT), "base64");
  const signed = preAuthentication(payloadType, payload);
  const key = keys.find((candidate) => isSignedBy(candidate, signed, signature));
  if (key === undefined) return { problem: NOT_TRUSTED };
  if (rekorKeys.length > 0) {
    const problem = problemOfLog(bundle, rekorKeys, { payload, signature, key });
    if (problem !== undefined) return { problem };
  }
  if (payloadType !== STATEMENT_TYPE)
    return { problem: `payloads of type ${JSON.stringify(payloadType)} are not supported` };
  return { claim: parseStatement(payload) };
}

/** What a DSSE envelope signs: its version, and type and payload behind their lengths. */
function preAuthentication(type: string, payload: Uint8Array): Uint8Array {
  const head = `DSSEv1 ${Buffer.byteLength(type)} ${type} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

function parseStatement(payload: Uint8Array): SignedClaim {
  const what = "in-toto statement";
  const statement = parseUnambiguousJson(payload, what);
  const type = requiredString(statement, "_type", what);
  if (type !== "https://in-toto.io/Statement/v1" && type !== "https://in-toto.io/Statement/v0.1")
    throw new CfsError("Invalid", `${what}: the type ${JSON.stringify(type)} is not supported`);
  const predicate = requiredString(statement, "predicateType", what);
  if (predicate !== SIGN_PREDICATE)
    throw new CfsError("Invalid", `${what}: ${JSON.stringify(predicate)} is no signature of an image`);
  const [subject, ...more] = requiredArray(statement, "subject", what, MAX_ENTRIES);
  if (subject === undefined || more.length > 0)
    throw new CfsError("Invalid", `${what}: there must be exactly one subject`);
  const hex = requiredString(requiredObject(asObject(subject, what), "digest", what), "sha256", what);
  return { digest: toDigest(`sha256:${hex}`, what), name: undefined };
}

function problemOfLog(
  bundle: JsonObject,
  rekorKeys: SigstoreKeys["rekorKeys"],
  logged: LoggedSignature,
): string | undefined {
  const material = requiredObject(bundle, "verificationMaterial", WHAT);
  if (material.tlogEntries === undefined) return "it has no entry of a transparency log";
  let problem: string | undefined = "it has no entry of a transparency log";
  for (const value of requiredArray(material, "tlogEntries", WHAT, MAX_ENTRIES)) {
    const entry = asObject(value, WHAT);
    if (entry.inclusionPromise === undefined) {
      problem = "the transparency log has not signed when it took in the entry";
      continue;
    }
    const promise = requiredObject(entry, "inclusionPromise", WHAT);
    const logId = requiredString(requiredObject(entry, "logId", WHAT), "keyId", WHAT);
    problem = problemOfEntry(
      {
        body: requiredString(entry, "canonicalizedBody", WHAT),
        integratedTime: wholeNumber(entry.integratedTime, `${WHAT}: "integratedTime"`),
        logIndex: wholeNumber(entry.logIndex, `${WHAT}: "logIndex"`),
        logId: Buffer.from(logId, "base64").toString("hex"),
        signedEntryTimestamp: Buffer.from(requiredString(promise, "signedEntryTimestamp", WHAT), "base64"),
      },
      rekorKeys,
      logged,
    );
    if (problem === undefined) return undefined;
  }
  return problem;
}
