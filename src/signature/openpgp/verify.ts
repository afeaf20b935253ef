import { CfsError, describeError } from "../../errors.ts";
import { removeArmor } from "./armor.ts";
import type { Keyring } from "./keyring.ts";
import { type Packet, readPackets, SIGNATURE } from "./packets.ts";
import { SignatureCheck } from "./signature-check.ts";
import { BINARY_DOCUMENT, parseSignaturePacket, type SignaturePacket } from "./signature-packet.ts";
import { type Candidate, candidatesFor, problemOf, requireSigningKey } from "./signing-keys.ts";

/** Most signatures of one document that are looked at. */
export const MAX_SIGNATURES = 64;

/** A signature of data that is good, by a key that may sign. */
export interface VerifiedSignature {
  /** Of the key that signed, which may be a subkey: 40 hexadecimal digits, lower case. */
  readonly fingerprint: string;
  /** Of the primary key. */
  readonly primaryFingerprint: string;
  readonly keyId: string;
  readonly created: Date;
  /** User IDs of the key that their owner has certified. */
  readonly userIds: readonly string[];
}

/** A signature that does not count. */
export interface RefusedSignature {
  /** 16 hexadecimal digits; undefined when the signature does not say who made it. */
  readonly keyId: string | undefined;
  /** One sentence that names the key where there is one. */
  readonly reason: string;
}

export interface SignatureReport {
  readonly verified: readonly VerifiedSignature[];
  readonly refused: readonly RefusedSignature[];
}

/**
 * Checks detached signatures, one or several after the other, against data.
 * @param data in pieces, which are read once.
 * @param signatures binary or in ASCII armor.
 * @param now when keys and signatures must not have expired.
 * @throws CfsError Invalid when the signatures are malformed. Signatures that are not good are no error.
 */
export function checkDetached(
  keyring: Keyring,
  data: Iterable<Uint8Array>,
  signatures: Uint8Array,
  now = new Date(),
): SignatureReport {
  const packets = readPackets(removeArmor(signatures, "the signature"), "the signature", MAX_SIGNATURES);
  return checkSignatures(keyring, data, packets, now);
}

/**
 * As `checkDetached`, for when one good signature is enough.
 * @returns the first that is good.
 * @throws CfsError Permission when there is none, Invalid
 */
export function verifyDetached(
  keyring: Keyring,
  data: Iterable<Uint8Array>,
  signatures: Uint8Array,
  now = new Date(),
): VerifiedSignature {
  return requireOne(checkDetached(keyring, data, signatures, now));
}

/** @throws CfsError Permission when no signature is good. */
export function requireOne({ verified, refused }: SignatureReport): VerifiedSignature {
  const [first] = verified;
  if (first !== undefined) return first;
  const reasons = [...new Set(refused.map(({ reason }) => reason))];
  throw new CfsError("Permission", reasons.join("; ") || "there is no signature");
}

/** @param packets signatures, and nothing else. */
export function checkSignatures(
  keyring: Keyring,
  data: Iterable<Uint8Array>,
  packets: readonly Packet[],
  now: Date,
): SignatureReport {
  const seconds = Math.floor(now.getTime() / 1000);
  const trials = packets.map((packet) => new Trial(keyring, packet, seconds));
  for (const chunk of data) for (const trial of trials) trial.update(chunk);
  const verified: VerifiedSignature[] = [];
  const refused: RefusedSignature[] = [];
  for (const trial of trials) {
    const outcome = trial.finish();
    if ("fingerprint" in outcome) verified.push(outcome);
    else refused.push(outcome);
  }
  return { verified, refused };
}

/** One signature and the keys that it may come from. */
class Trial {
  readonly #signature: SignaturePacket | undefined;
  readonly #seconds: number;
  readonly #checks: { readonly candidate: Candidate; readonly check: SignatureCheck }[] = [];
  #problem: string;

  constructor(keyring: Keyring, { type, body }: Packet, seconds: number) {
    this.#seconds = seconds;
    if (type !== SIGNATURE) throw new CfsError("Invalid", "OpenPGP: there is something else than signatures");
    this.#signature = parseSignaturePacket(body);
    this.#problem =
      this.#signature === undefined ? "a signature is of an unsupported version" : this.#open(keyring);
  }

  /** @returns what to say if none of the keys has made the signature. */
  #open(keyring: Keyring): string {
    const signature = this.#signature!;
    const name = signature.issuerFingerprint ?? signature.issuerKeyId;
    if (name === undefined) return "a signature does not say which key made it";
    if (signature.type !== BINARY_DOCUMENT) return `the signature by ${name} is not of a document`;
    const candidates = candidatesFor(keyring, signature);
    if (candidates.length === 0) return `signed by the key ${name}, which is not in the keyring`;
    let problem = `the signature by ${name} is bad: other data was signed`;
    for (const candidate of candidates) {
      const found = problemOf(signature, candidate.key, "data", this.#seconds);
      const check = found === undefined ? SignatureCheck.start(signature, candidate.key, "data") : undefined;
      if (check !== undefined) this.#checks.push({ candidate, check });
      else
        problem = `the signature by ${name} ${found ?? "does not fit its key, or the key's algorithm is unsupported"}`;
    }
    return problem;
  }

  update(chunk: Uint8Array): void {
    for (const { check } of this.#checks) check.update(chunk);
  }

  finish(): VerifiedSignature | RefusedSignature {
    for (const { candidate, check } of this.#checks) {
      if (!check.isGood()) continue;
      const { certificate, key } = candidate;
      try {
        return {
          userIds: requireSigningKey(candidate, this.#seconds),
          fingerprint: key.fingerprint,
          primaryFingerprint: certificate.primary.fingerprint,
          keyId: key.keyId,
          created: new Date(this.#signature!.created * 1000),
        };
      } catch (error) {
        this.#problem = describeError(error);
      }
    }
    const { issuerKeyId, issuerFingerprint } = this.#signature ?? {};
    return { keyId: issuerKeyId ?? issuerFingerprint?.slice(-16), reason: this.#problem };
  }
}
