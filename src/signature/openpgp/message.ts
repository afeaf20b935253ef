import { inflateRawSync, inflateSync } from "node:zlib";
import { CfsError } from "../../errors.ts";
import { removeArmor } from "./armor.ts";
import { ByteReader } from "./byte-reader.ts";
import type { Keyring } from "./keyring.ts";
import * as packets from "./packets.ts";
import { checkSignatures, MAX_SIGNATURES, requireOne, type VerifiedSignature } from "./verify.ts";

export interface SignedMessage {
  /** What was signed. */
  readonly content: Uint8Array;
  readonly signature: VerifiedSignature;
}

/** One-pass packets, literal data, signatures. */
const MAX_PACKETS = 2 * MAX_SIGNATURES + 1;

/**
 * Checks a message with its signature in it, as `gpg --sign` writes it (RFC 9580, 10.3): compressed or not, binary or
 * in ASCII armor. One good signature is enough.
 * @param max most bytes that the content may have.
 * @throws CfsError Permission when no signature is good, Invalid when it is no signed message
 */
export function verifySignedMessage(
  keyring: Keyring,
  message: Uint8Array,
  max: number,
  now = new Date(),
): SignedMessage {
  const found = splitMessage(removeArmor(message, "the message"), max);
  const report = checkSignatures(keyring, [found.content], found.signatures, now);
  return { content: found.content, signature: requireOne(report) };
}

function splitMessage(
  bytes: Uint8Array,
  max: number,
): { content: Uint8Array; signatures: readonly packets.Packet[] } {
  let parts = packets.readPackets(bytes, "the message", MAX_PACKETS);
  if (parts.length === 1 && parts[0]!.type === packets.COMPRESSED_DATA)
    parts = packets.readPackets(decompress(parts[0]!.body, max), "the message", MAX_PACKETS);
  const signatures = parts.filter(({ type }) => type === packets.SIGNATURE);
  const literal = parts.filter(({ type }) => type === packets.LITERAL_DATA);
  if (literal.length !== 1 || signatures.length === 0 || !isInOrder(parts))
    throw new CfsError("Invalid", "OpenPGP: this is not a signed message");
  return { content: contentOf(literal[0]!.body, max), signatures };
}

/** Old messages begin with their signatures, others announce them and have them at the end. */
function isInOrder(parts: readonly packets.Packet[]): boolean {
  const order = parts
    .map(({ type }) =>
      type === packets.SIGNATURE
        ? "s"
        : type === packets.LITERAL_DATA
          ? "l"
          : type === packets.ONE_PASS_SIGNATURE
            ? "o"
            : "?",
    )
    .join("");
  return /^s+l$/.test(order) || (/^o+ls+$/.test(order) && order.indexOf("l") * 2 + 1 === order.length);
}

function decompress(body: Uint8Array, max: number): Uint8Array {
  const reader = new ByteReader(body, "compressed packet");
  const algorithm = reader.u8();
  // packets around the content come on top
  const options = { maxOutputLength: max + 1024 * 1024 };
  try {
    if (algorithm === 0) return reader.rest();
    if (algorithm === 1) return inflateRawSync(reader.rest(), options);
    if (algorithm === 2) return inflateSync(reader.rest(), options);
  } catch (error) {
    throw new CfsError("Invalid", "OpenPGP: the message can't be decompressed", { cause: error });
  }
  throw new CfsError("Unsupported", `OpenPGP: compression algorithm ${algorithm} is not supported`);
}

function contentOf(body: Uint8Array, max: number): Uint8Array {
  const reader = new ByteReader(body, "literal data packet");
  const format = reader.u8();
  if (format !== 0x62 && format !== 0x74 && format !== 0x75)
    throw reader.malformed(`has the unknown format ${format}`);
  reader.take(reader.u8());
  reader.u32();
  if (reader.remaining > max) throw reader.malformed(`has more than ${max} bytes`);
  return reader.rest();
}
