import { CfsError } from "../../errors.ts";
import { removeArmor } from "./armor.ts";
import { type KeyPacket, parseKeyPacket } from "./key-packet.ts";
import * as packets from "./packets.ts";
import { parseSignaturePacket, type SignaturePacket } from "./signature-packet.ts";

/** Larger keyrings than any distribution has. */
export const MAX_KEYRING_SIZE = 16 * 1024 * 1024;
const MAX_PACKETS = 100_000;

export interface UserId {
  /** The packet's body. */
  readonly bytes: Uint8Array;
  readonly signatures: readonly SignaturePacket[];
}

export interface Subkey {
  readonly key: KeyPacket;
  readonly signatures: readonly SignaturePacket[];
}

/** A primary key and what belongs to it (RFC 9580, 10.1). Nothing in it is verified yet. */
export interface Certificate {
  readonly primary: KeyPacket;
  /** On the primary key itself. */
  readonly signatures: readonly SignaturePacket[];
  readonly userIds: readonly UserId[];
  readonly subkeys: readonly Subkey[];
}

/** Public keys that somebody trusts. */
export interface Keyring {
  readonly certificates: readonly Certificate[];
}

/**
 * Reads public keys as `gpg --export` writes them, binary or in ASCII armor, one after the other.
 * @param what for messages: the name of the file.
 * @throws CfsError Invalid
 */
export function readKeyring(bytes: Uint8Array, what = "keyring"): Keyring {
  if (bytes.length > MAX_KEYRING_SIZE)
    throw new CfsError("Invalid", `OpenPGP: ${what} is larger than ${MAX_KEYRING_SIZE} bytes`);
  if (Buffer.from(bytes.subarray(8, 12)).toString("latin1") === "KBXf") {
    throw new CfsError("Invalid", `OpenPGP: ${what} is a keybox of GnuPG`, {
      hint: "use what gpg --export writes",
    });
  }
  const builder = new KeyringBuilder(what);
  for (const packet of packets.readPackets(removeArmor(bytes, what), what, MAX_PACKETS)) builder.add(packet);
  return { certificates: builder.certificates };
}

/** Several keyrings as one. */
export function joinKeyrings(keyrings: readonly Keyring[]): Keyring {
  return { certificates: keyrings.flatMap(({ certificates }) => certificates) };
}

class KeyringBuilder {
  readonly certificates: Certificate[] = [];
  readonly #what: string;
  #certificate:
    | { primary: KeyPacket; signatures: SignaturePacket[]; userIds: UserId[]; subkeys: Subkey[] }
    | undefined;
  /** Where the next signature belongs; undefined while what it is about is skipped. */
  #signatures: SignaturePacket[] | undefined;

  constructor(what: string) {
    this.#what = what;
  }

  add({ type, body }: packets.Packet): void {
    if (type === packets.PUBLIC_KEY) this.#addPrimary(body);
    else if (type === packets.PUBLIC_SUBKEY) this.#addSubkey(body);
    else if (type === packets.USER_ID) this.#addUserId(body);
    else if (type === packets.USER_ATTRIBUTE) this.#signatures = undefined;
    else if (type === packets.SIGNATURE) this.#addSignature(body);
    else if (type !== packets.TRUST && type !== packets.MARKER && type !== packets.PADDING) {
      const isSecret = type === packets.SECRET_KEY || type === packets.SECRET_SUBKEY;
      const found = isSecret ? "a secret key" : `a packet of type ${type}`;
      throw new CfsError("Invalid", `OpenPGP: ${this.#what} has ${found} where public keys are expected`);
    }
  }

  #addPrimary(body: Uint8Array): void {
    this.#certificate = undefined;
    this.#signatures = undefined;
    const primary = parseKeyPacket(body);
    if (primary === undefined) return;
    const signatures: SignaturePacket[] = [];
    this.#certificate = { primary, signatures, userIds: [], subkeys: [] };
    this.#signatures = signatures;
    this.certificates.push(this.#certificate);
  }

  #addSubkey(body: Uint8Array): void {
    this.#signatures = undefined;
    const key = parseKeyPacket(body);
    if (key === undefined || this.#certificate === undefined) return;
    const signatures: SignaturePacket[] = [];
    this.#certificate.subkeys.push({ key, signatures });
    this.#signatures = signatures;
  }

  #addUserId(bytes: Uint8Array): void {
    this.#signatures = undefined;
    if (this.#certificate === undefined) return;
    const signatures: SignaturePacket[] = [];
    this.#certificate.userIds.push({ bytes, signatures });
    this.#signatures = signatures;
  }

  #addSignature(body: Uint8Array): void {
    const signature = parseSignaturePacket(body);
    if (signature !== undefined) this.#signatures?.push(signature);
  }
}
