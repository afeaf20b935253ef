import { CfsError } from "../errors.ts";

/** Lower-case hex of a SHA-256: the name of an ostree object. */
export type Checksum = string & { readonly __ostreeChecksum: never };

export const CHECKSUM_SIZE = 32;

/** Whether the text is a checksum, in upper or lower case. */
export function isChecksum(text: string): boolean {
  return /^[0-9a-fA-F]{64}$/.test(text);
}

/** @throws CfsError Invalid */
export function parseChecksum(text: string, what: string): Checksum {
  if (isChecksum(text)) return text.toLowerCase() as Checksum;
  throw new CfsError("Invalid", `${what} is not a checksum of 64 hexadecimal digits`);
}

/** @param bytes 32 of them. */
export function checksumOf(bytes: Uint8Array): Checksum {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).hexSlice() as Checksum;
}

export function checksumBytes(checksum: Checksum): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(CHECKSUM_SIZE);
  Buffer.from(bytes.buffer).hexWrite(checksum);
  return bytes;
}

/** The checksum of an object held in memory. */
export function computeChecksum(bytes: Uint8Array): Checksum {
  return Bun.SHA256.hash(bytes, "hex") as Checksum;
}
