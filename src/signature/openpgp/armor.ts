import { CfsError } from "../../errors.ts";

const BLOCK =
  /-----BEGIN PGP ([A-Z ]+)-----[ \t]*\r?\n((?:[!-9;-~]+: [^\r\n]*\r?\n)*)[ \t]*\r?\n([A-Za-z0-9+/=\s]*?)-----END PGP \1-----/g;

/** Whether these are packets already: their first byte is no character of a text. */
function isBinary(bytes: Uint8Array): boolean {
  return bytes.length > 0 && bytes[0]! >= 0x80;
}

/**
 * The packets in bytes that may be in ASCII armor (RFC 9580, 6); blocks that follow each other are joined.
 * @param what for messages.
 * @throws CfsError Invalid
 */
export function removeArmor(bytes: Uint8Array, what: string): Uint8Array {
  if (isBinary(bytes)) return bytes;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).latin1Slice();
  const blocks: Uint8Array[] = [];
  for (const [, kind, , body] of text.matchAll(BLOCK)) {
    if (kind === "SIGNED MESSAGE" || kind!.startsWith("PRIVATE"))
      throw new CfsError("Invalid", `OpenPGP: ${what} is a ${kind!.toLowerCase()}`);
    blocks.push(decodeBlock(body!, what));
  }
  if (blocks.length === 0 || text.split("-----BEGIN PGP").length !== blocks.length + 1)
    throw new CfsError("Invalid", `OpenPGP: ${what} is neither binary nor in ASCII armor`);
  return new Uint8Array(Buffer.concat(blocks));
}

function decodeBlock(body: string, what: string): Uint8Array {
  const compact = body.replace(/\s+/g, "");
  const checksum = /=([A-Za-z0-9+/]{4})$/.exec(compact);
  const data = checksum === null ? compact : compact.slice(0, checksum.index);
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(data) || data.length % 4 !== 0)
    throw new CfsError("Invalid", `OpenPGP: the ASCII armor of ${what} is damaged`);
  const bytes = new Uint8Array(Buffer.from(data, "base64"));
  if (checksum !== null && Buffer.from(checksum[1]!, "base64").readUIntBE(0, 3) !== crc24(bytes))
    throw new CfsError("Invalid", `OpenPGP: the ASCII armor of ${what} has a wrong checksum`);
  return bytes;
}

function crc24(bytes: Uint8Array): number {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let bit = 0; bit < 8; bit++) {
      crc <<= 1;
      if ((crc & 0x1000000) !== 0) crc ^= 0x1864cfb;
    }
  }
  return crc & 0xffffff;
}
