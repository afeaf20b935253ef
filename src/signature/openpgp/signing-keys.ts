import { CfsError } from "../../errors.ts";
import { type KeyPacket, keyPrefix } from "./key-packet.ts";
import type { Certificate, Keyring, Subkey, UserId } from "./keyring.ts";
import { hashOf, type Purpose, SignatureCheck } from "./signature-check.ts";
import * as s from "./signature-packet.ts";

/** Clocks of those who sign may go ahead by so many seconds. */
const CLOCK_SKEW = 600;

/** A key of a keyring that a signature may come from. */
export interface Candidate {
  readonly certificate: Certificate;
  readonly key: KeyPacket;
  /** Undefined for the primary key. */
  readonly subkey: Subkey | undefined;
}

/** The keys that a signature names as its maker, whether they may sign or not. */
export function candidatesFor(keyring: Keyring, signature: s.SignaturePacket): Candidate[] {
  const found: Candidate[] = [];
  for (const certificate of keyring.certificates) {
    if (isIssuer(certificate.primary, signature))
      found.push({ certificate, key: certificate.primary, subkey: undefined });
    for (const subkey of certificate.subkeys)
      if (isIssuer(subkey.key, signature)) found.push({ certificate, key: subkey.key, subkey });
  }
  return found;
}

function isIssuer(key: KeyPacket, { issuerFingerprint, issuerKeyId }: s.SignaturePacket): boolean {
  if (issuerFingerprint !== undefined && issuerFingerprint !== key.fingerprint) return false;
  if (issuerKeyId !== undefined && issuerKeyId !== key.keyId) return false;
  return issuerFingerprint !== undefined || issuerKeyId !== undefined;
}

/** Why a signature is not valid at a time, apart from its numbers; undefined when it may be. */
export function problemOf(
  signature: s.SignaturePacket,
  key: KeyPacket,
  purpose: Purpose,
  now: number,
): string | undefined {
  if (hashOf(signature, purpose) === undefined)
    return `uses hash algorithm ${signature.hashId}, which is not accepted`;
  if (signature.hasUnknownCritical) return "has a critical part that is not understood";
  if (signature.created < key.created) return "is older than its key";
  if (signature.created > now + CLOCK_SKEW) return "was made in the future";
  if (signature.expiresAfter > 0 && signature.created + signature.expiresAfter <= now) return "has expired";
  return undefined;
}

/** Whether `signer` has signed the parts, which are keys or user IDs. */
function isSigned(
  signature: s.SignaturePacket,
  signer: KeyPacket,
  parts: readonly Uint8Array[],
  now: number,
): boolean {
  if (problemOf(signature, signer, "self", now) !== undefined) return false;
  return hasGoodNumbers(signature, signer, parts);
}

function hasGoodNumbers(
  signature: s.SignaturePacket,
  signer: KeyPacket,
  parts: readonly Uint8Array[],
): boolean {
  const check = SignatureCheck.start(signature, signer, "self");
  if (check === undefined) return false;
  for (const part of parts) check.update(part);
  return check.isGood();
}

function keyParts(...keys: readonly KeyPacket[]): Uint8Array[] {
  return keys.flatMap(({ body }) => [keyPrefix(body), body]);
}

function userIdParts(primary: KeyPacket, { bytes }: UserId): Uint8Array[] {
  const prefix = new Uint8Array(5);
  prefix[0] = 0xb4;
  new DataView(prefix.buffer).setUint32(1, bytes.length);
  return [...keyParts(primary), prefix, bytes];
}

/** A revocation counts whenever it was made, and also when nobody here can check it. */
function isRevoked(
  signatures: readonly s.SignaturePacket[],
  type: number,
  primary: KeyPacket,
  parts: readonly Uint8Array[],
): boolean {
  return signatures.some(
    (signature) =>
      signature.type === type &&
      isIssuer(primary, signature) &&
      (hashOf(signature, "self") === undefined || hasGoodNumbers(signature, primary, parts)),
  );
}

/** What the owner of a key has said about it, with signatures that are valid. */
interface SelfDescription {
  readonly userIds: readonly string[];
  readonly problem: string | undefined;
}

/**
 * Whether a key may have signed data, by what its owner says about it: it is bound to a certificate that is neither
 * revoked nor expired, and its flags allow it.
 * @returns the user IDs of the certificate.
 * @throws CfsError Permission
 */
export function requireSigningKey({ certificate, key, subkey }: Candidate, now: number): readonly string[] {
  const primary = describePrimary(certificate, now, subkey === undefined);
  const problem =
    primary.problem ?? (subkey === undefined ? undefined : problemOfSubkey(certificate, subkey, now));
  if (problem !== undefined) throw new CfsError("Permission", `the key ${key.fingerprint} ${problem}`);
  return primary.userIds;
}

function describePrimary(certificate: Certificate, now: number, mustSign: boolean): SelfDescription {
  const { primary, signatures } = certificate;
  const fail = (problem: string): SelfDescription => ({ userIds: [], problem });
  if (primary.material === undefined)
    return fail(`has a primary key of algorithm ${primary.algorithmId} or of a size that is not supported`);
  if (primary.created > now + CLOCK_SKEW) return fail("was made in the future");
  if (isRevoked(signatures, s.KEY_REVOCATION, primary, keyParts(primary))) return fail("is revoked");
  const direct = newest(
    signatures.filter((x) => x.type === s.DIRECT_KEY && isSigned(x, primary, keyParts(primary), now)),
  );
  const certified = certificate.userIds.flatMap((userId) => {
    const signature = certificationOf(primary, userId, now);
    return signature === undefined ? [] : [{ userId, signature }];
  });
  const byUserId = newest(certified.map(({ signature }) => signature));
  if (direct === undefined && byUserId === undefined) return fail("has no valid signature of its own");
  for (const signature of [direct, byUserId])
    if (signature !== undefined && hasKeyExpired(signature, primary, now)) return fail("has expired");
  const flags = byUserId?.keyFlags ?? direct?.keyFlags;
  if (mustSign && flags !== undefined && (flags & s.MAY_SIGN) === 0) return fail("may not sign data");
  return {
    userIds: certified.map(({ userId }) => new TextDecoder().decode(userId.bytes)),
    problem: undefined,
  };
}

function certificationOf(primary: KeyPacket, userId: UserId, now: number): s.SignaturePacket | undefined {
  const parts = userIdParts(primary, userId);
  const { signatures } = userId;
  if (isRevoked(signatures, s.CERTIFICATION_REVOCATION, primary, parts)) return undefined;
  return newest(
    signatures.filter(
      (x) =>
        x.type >= s.FIRST_CERTIFICATION &&
        x.type <= s.LAST_CERTIFICATION &&
        isIssuer(primary, x) &&
        isSigned(x, primary, parts, now),
    ),
  );
}

function problemOfSubkey(
  { primary }: Certificate,
  { key, signatures }: Subkey,
  now: number,
): string | undefined {
  const parts = keyParts(primary, key);
  if (key.created > now + CLOCK_SKEW) return "was made in the future";
  if (isRevoked(signatures, s.SUBKEY_REVOCATION, primary, parts)) return "is revoked";
  const binding = newest(
    signatures.filter((x) => x.type === s.SUBKEY_BINDING && isSigned(x, primary, parts, now)),
  );
  if (binding === undefined) return "is not bound to its primary key";
  if (hasKeyExpired(binding, key, now)) return "has expired";
  if (binding.keyFlags !== undefined && (binding.keyFlags & s.MAY_SIGN) === 0) return "may not sign data";
  // Else anybody could adopt the subkey of somebody else, and claim their signatures.
  const back = binding.embedded.some((body) => {
    const signature = s.parseSignaturePacket(body);
    return signature?.type === s.PRIMARY_KEY_BINDING && isSigned(signature, key, parts, now);
  });
  return back ? undefined : "has not signed that it belongs to its primary key";
}

function newest(signatures: readonly s.SignaturePacket[]): s.SignaturePacket | undefined {
  return signatures.reduce<s.SignaturePacket | undefined>(
    (best, signature) => (best === undefined || signature.created > best.created ? signature : best),
    undefined,
  );
}

function hasKeyExpired({ keyExpiresAfter }: s.SignaturePacket, { created }: KeyPacket, now: number): boolean {
  return keyExpiresAfter > 0 && created + keyExpiresAfter <= now;
}
