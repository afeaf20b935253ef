import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { CfsError } from "../../errors.ts";

const KEY_SIZE = 32;
/** SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410). */
const SPKI_HEAD = Buffer.from("302a300506032b6570032100", "hex");

/** Public keys in the form in which ostree has them: 32 bytes, in base64. */
export interface Ed25519Keys {
  readonly trusted: readonly string[];
  /** These don't count even where they are trusted. */
  readonly revoked: readonly string[];
}

export const NO_KEYS: Ed25519Keys = { trusted: [], revoked: [] };

/** Whether the text is a public key as ostree writes it. */
export function isEd25519Key(text: string): boolean {
  return /^[A-Za-z0-9+/]{43}=$/.test(text);
}

/** The keys in a file with one in each line. @param what for messages. @throws CfsError Invalid */
export function parseEd25519Keys(text: string, what: string): string[] {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const wrong = lines.findIndex((line) => !isEd25519Key(line));
  if (wrong < 0) return lines;
  throw new CfsError("Invalid", `${what}: line ${wrong + 1} is no ed25519 public key in base64`);
}

/** Whether one of the signatures is of one of the keys. */
export function isSignedByAny(
  { trusted, revoked }: Ed25519Keys,
  data: Uint8Array,
  signatures: readonly Uint8Array[],
): boolean {
  const keys = trusted.filter((key) => !revoked.includes(key)).map(publicKey);
  return signatures.some((signature) => keys.some((key) => isGood(key, data, signature)));
}

function isGood(key: KeyObject, data: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(null, data, key, signature);
  } catch {
    // a key that is no point of the curve, or bytes that have not the form of a signature
    return false;
  }
}

function publicKey(base64: string): KeyObject {
  const key = Buffer.from(base64, "base64");
  if (key.length !== KEY_SIZE) throw new TypeError("not a key of ed25519");
  return createPublicKey({ key: Buffer.concat([SPKI_HEAD, key]), format: "der", type: "spki" });
}
