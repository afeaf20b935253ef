import { createHash } from "node:crypto";
import { CfsError } from "../../errors.ts";
import { isSignedBy, type PublicKey, readPublicKey } from "../../signature/public-key.ts";
import {
  asObject,
  type JsonObject,
  parseJsonObject,
  requiredArray,
  requiredObject,
  requiredString,
} from "../json.ts";

/** An entry of a transparency log (Rekor, version 1), with the log's promise that it is in there. */
export interface LogEntry {
  /** JSON in base64. */
  readonly body: string;
  /** Seconds since 1970. */
  readonly integratedTime: number;
  readonly logIndex: number;
  /** Hexadecimal digits. */
  readonly logId: string;
  /** Signature by the log's key over the four other fields. */
  readonly signedEntryTimestamp: Uint8Array;
}

/** What an entry has to be about. */
export interface LoggedSignature {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  readonly key: PublicKey;
}

const WHAT = "transparency log entry";
const MAX_LOGGED_SIGNATURES = 64;

/** Why an entry does not prove that the signature was logged; undefined when it does. @throws CfsError Invalid */
export function problemOfEntry(
  entry: LogEntry,
  logKeys: readonly PublicKey[],
  logged: LoggedSignature,
): string | undefined {
  const { body, integratedTime, logIndex, logId } = entry;
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(body) || !/^[0-9a-f]+$/.test(logId)) return `the ${WHAT} is malformed`;
  // RFC 8785: members in the order of their names, no spaces
  const signed = Buffer.from(JSON.stringify({ body, integratedTime, logID: logId, logIndex }));
  if (!logKeys.some((key) => isSignedBy(key, signed, entry.signedEntryTimestamp)))
    return `the ${WHAT} is not signed by a key of the policy`;
  const content = parseJsonObject(Buffer.from(body, "base64"), WHAT);
  const kind = requiredString(content, "kind", WHAT);
  const spec = requiredObject(content, "spec", WHAT);
  if (content.apiVersion !== "0.0.1") return `the ${WHAT} is of a version that is not supported`;
  const isAboutIt =
    kind === "hashedrekord"
      ? isHashOf(spec, logged)
      : kind === "dsse"
        ? isEnvelopeOf(spec, logged)
        : undefined;
  if (isAboutIt === undefined) return `a ${WHAT} of kind ${JSON.stringify(kind)} is not supported`;
  return isAboutIt ? undefined : `the ${WHAT} is about another signature`;
}

function isHashOf(spec: JsonObject, { payload, signature, key }: LoggedSignature): boolean {
  const signed = requiredObject(spec, "signature", WHAT);
  const publicKey = requiredObject(signed, "publicKey", WHAT);
  return (
    isSha256(requiredObject(requiredObject(spec, "data", WHAT), "hash", WHAT), payload) &&
    isBase64Of(requiredString(signed, "content", WHAT), signature) &&
    isKey(requiredString(publicKey, "content", WHAT), key)
  );
}

function isEnvelopeOf(spec: JsonObject, { payload, signature, key }: LoggedSignature): boolean {
  if (!isSha256(requiredObject(spec, "payloadHash", WHAT), payload)) return false;
  return requiredArray(spec, "signatures", WHAT, MAX_LOGGED_SIGNATURES).some((value) => {
    const signed = asObject(value, WHAT);
    return (
      isBase64Of(requiredString(signed, "signature", WHAT), signature) &&
      isKey(requiredString(signed, "verifier", WHAT), key)
    );
  });
}

function isSha256(hash: JsonObject, bytes: Uint8Array): boolean {
  const expected = createHash("sha256").update(bytes).digest("hex");
  return hash.algorithm === "sha256" && hash.value === expected;
}

function isBase64Of(text: string, bytes: Uint8Array): boolean {
  return Buffer.from(text, "base64").equals(bytes);
}

function isKey(pem: string, { fingerprint }: PublicKey): boolean {
  return readPublicKey(Buffer.from(pem, "base64"), `the key of the ${WHAT}`).fingerprint === fingerprint;
}

/** A whole number, also as text, as in JSON made from protocol buffers. @throws CfsError Invalid */
export function wholeNumber(value: unknown, what: string): number {
  const number = typeof value === "string" && /^[0-9]{1,16}$/.test(value) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isSafeInteger(number) || number < 0)
    throw new CfsError("Invalid", `${what} is not a whole number`);
  return number;
}
