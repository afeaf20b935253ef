import { CfsError, withContext } from "../../errors.ts";
import type { Keyring } from "../../signature/openpgp/keyring.ts";
import { MAX_SIGNATURES, verifyDetached } from "../../signature/openpgp/verify.ts";
import { readGVariant, type Variant } from "../gvariant.ts";
import { type Ed25519Keys, isSignedByAny } from "./ed25519.ts";

/** Who has to have signed what. Where both kinds of signatures are asked for, both have to be good. */
export interface Verification {
  readonly commits: Required;
  readonly summary: Required;
  /** Keys for OpenPGP; only asked for when they are needed. @throws CfsError when they can't be read */
  readonly keyring: () => Keyring;
  readonly ed25519: () => Ed25519Keys;
}

export interface Required {
  readonly gpg: boolean;
  readonly ed25519: boolean;
}

const NOTHING: Required = { gpg: false, ed25519: false };

/** Signatures don't matter. */
export const NO_VERIFICATION: Verification = {
  commits: NOTHING,
  summary: NOTHING,
  keyring: () => ({ certificates: [] }),
  ed25519: () => ({ trusted: [], revoked: [] }),
};

export function isRequired({ gpg, ed25519 }: Required): boolean {
  return gpg || ed25519;
}

const GPG_KEY = "ostree.gpgsigs";
const ED25519_KEY = "ostree.sign.ed25519";
const HINT =
  "get the right public key from those who publish the repository; what is not signed is not pulled";

/**
 * Checks the signatures of a commit or summary.
 * @param signed the file itself.
 * @param detached the dictionary with signatures, as `COMMIT.commitmeta` and `summary.sig` have it.
 * @param what for messages.
 * @throws CfsError Permission when a signature that is needed is missing or not good
 */
export function verifySignatures(
  verification: Verification,
  required: Required,
  signed: Uint8Array,
  detached: Uint8Array | undefined,
  what: string,
): void {
  if (required.gpg) {
    const signatures = signaturesIn(detached, GPG_KEY, what);
    if (signatures.length === 0) throw refused(`${what} has no OpenPGP signature`);
    try {
      verifyDetached(verification.keyring(), [signed], Buffer.concat(signatures));
    } catch (error) {
      throw withContext(`${what} has no good OpenPGP signature`, error);
    }
  }
  if (required.ed25519) {
    const signatures = signaturesIn(detached, ED25519_KEY, what);
    if (signatures.length === 0) throw refused(`${what} has no ed25519 signature`);
    if (!isSignedByAny(verification.ed25519(), signed, signatures))
      throw refused(`${what} has no ed25519 signature by a trusted key`);
  }
}

function refused(message: string): CfsError {
  return new CfsError("Permission", message, { hint: HINT });
}

function signaturesIn(detached: Uint8Array | undefined, key: string, what: string): Uint8Array[] {
  if (detached === undefined) return [];
  const entries = readGVariant("a{sv}", detached) as unknown as (readonly [string, Variant])[];
  const found = entries.find(([name]) => name === key)?.[1];
  if (found === undefined) return [];
  if (found.signature !== "aay")
    throw new CfsError("Corrupt", `'${key}' of ${what} is no list of signatures`);
  const signatures = found.value as Uint8Array[];
  if (signatures.length > MAX_SIGNATURES)
    throw new CfsError("Corrupt", `${what} has more than ${MAX_SIGNATURES} signatures`);
  return signatures;
}
