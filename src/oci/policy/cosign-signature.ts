import { isSignedBy, type PublicKey } from "../../signature/public-key.ts";
import { parseJsonObject, requiredObject, requiredString } from "../json.ts";
import { COSIGN_SIGNATURE, parseSimplePayload, type SignedClaim } from "./simple-signing.ts";
import { type LogEntry, problemOfEntry, wholeNumber } from "./transparency-log.ts";

/** Media type of a payload that a layer of a signature image holds (cosign's SIGNATURE_SPEC). */
export const SIMPLE_SIGNING_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json";
export const SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature";
const LOG_ANNOTATION = "dev.sigstore.cosign/bundle";

/** A payload with its signature beside it. */
export interface CosignSignature {
  readonly payload: Uint8Array;
  readonly annotations: ReadonlyMap<string, string>;
}

/** Keys that are trusted to sign images, and those of transparency logs, if any has to know of the signature. */
export interface SigstoreKeys {
  readonly keys: readonly PublicKey[];
  readonly rekorKeys: readonly PublicKey[];
}

/** Either what a verified signature claims, or why it does not count. */
export type Verdict = { readonly claim: SignedClaim } | { readonly problem: string };

export const NOT_TRUSTED = "it is not signed by a key of the policy, or damaged";

/** @throws CfsError Invalid */
export function verifyCosign(
  { payload, annotations }: CosignSignature,
  { keys, rekorKeys }: SigstoreKeys,
): Verdict {
  const text = annotations.get(SIGNATURE_ANNOTATION);
  if (text === undefined) return { problem: `there is no annotation ${SIGNATURE_ANNOTATION}` };
  const signature = Buffer.from(text, "base64");
  const key = keys.find((candidate) => isSignedBy(candidate, payload, signature));
  if (key === undefined) return { problem: NOT_TRUSTED };
  if (rekorKeys.length > 0) {
    const log = annotations.get(LOG_ANNOTATION);
    if (log === undefined) return { problem: "it has no entry of a transparency log" };
    const problem = problemOfEntry(parseLogAnnotation(log), rekorKeys, { payload, signature, key });
    if (problem !== undefined) return { problem };
  }
  return { claim: parseSimplePayload(payload, COSIGN_SIGNATURE) };
}

function parseLogAnnotation(text: string): LogEntry {
  const what = `annotation ${LOG_ANNOTATION}`;
  const bundle = parseJsonObject(Buffer.from(text), what);
  const entry = requiredObject(bundle, "Payload", what);
  return {
    body: requiredString(entry, "body", what),
    integratedTime: wholeNumber(entry.integratedTime, `${what}: "integratedTime"`),
    logIndex: wholeNumber(entry.logIndex, `${what}: "logIndex"`),
    logId: requiredString(entry, "logID", what),
    signedEntryTimestamp: Buffer.from(requiredString(bundle, "SignedEntryTimestamp", what), "base64"),
  };
}
