import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import { CfsError } from "../errors.ts";

/** A public key that signs documents without saying who made it. */
export interface PublicKey {
  readonly key: KeyObject;
  /** SHA-256 of the key in DER (SubjectPublicKeyInfo), in hexadecimal digits. */
  readonly fingerprint: string;
}

const BLOCK = /^\s*-----BEGIN ((?:RSA )?PUBLIC KEY)-----\s[A-Za-z0-9+/=\s]*-----END \1-----\s*$/;
const MIN_RSA_BITS = 2048;
/** Hash algorithms by curve: the one of the signature scheme, and SHA-256, which others have used for all. */
const CURVE_HASHES: ReadonlyMap<string, readonly string[]> = new Map([
  ["prime256v1", ["sha256"]],
  ["secp384r1", ["sha256", "sha384"]],
  ["secp521r1", ["sha256", "sha512"]],
]);

/**
 * Reads one public key in PEM: ECDSA on P-256, P-384 or P-521, RSA of 2048 bits or more, or Ed25519.
 * @param what for messages.
 * @throws CfsError Invalid, Unsupported
 */
export function readPublicKey(bytes: Uint8Array, what: string): PublicKey {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).latin1Slice();
  if (!BLOCK.test(text)) {
    throw new CfsError("Invalid", `${what} is not a public key in PEM`, {
      hint: "it has to begin with -----BEGIN PUBLIC KEY-----",
    });
  }
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch (error) {
    throw new CfsError("Invalid", `${what} is damaged, or a kind of key that is not supported`, {
      cause: error,
    });
  }
  const problem = problemOf(key);
  if (problem !== undefined) throw new CfsError("Unsupported", `${what}: ${problem}`);
  return { key, fingerprint: createHash("sha256").update(derOf(key)).digest("hex") };
}

function problemOf({
  asymmetricKeyType: type,
  asymmetricKeyDetails: details,
}: KeyObject): string | undefined {
  if (type === "ed25519") return undefined;
  if (type === "ec") {
    const curve = details?.namedCurve ?? "";
    return CURVE_HASHES.has(curve) ? undefined : `keys on the curve ${curve} are not supported`;
  }
  if (type !== "rsa") return `keys of type ${type} are not supported`;
  const bits = details?.modulusLength ?? 0;
  return bits >= MIN_RSA_BITS
    ? undefined
    : `the RSA key has ${bits} bits; at least ${MIN_RSA_BITS} are needed`;
}

/** The key in DER, as SubjectPublicKeyInfo. */
function derOf(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

/** Whether a signature (ECDSA in DER, RSA by PKCS #1 v1.5, or Ed25519) of the data was made by the key. */
export function isSignedBy({ key }: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const hashes =
    type === "ed25519"
      ? [null]
      : type === "rsa"
        ? ["sha256"]
        : (CURVE_HASHES.get(details?.namedCurve ?? "") ?? []);
  try {
    return hashes.some((hash) => verify(hash, data, key, signature));
  } catch {
    // bytes that have not even the form of a signature
    return false;
  }
}
