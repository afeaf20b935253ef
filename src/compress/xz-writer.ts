import { DICTIONARY_SIZE, lzma2 } from "./lzma2-writer.ts";

const MAGIC = Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00);
const FOOTER_MAGIC = Uint8Array.of(0x59, 0x5a);
/** A CRC32 of the content at its end. */
const FLAGS = Uint8Array.of(0, 1);
const LZMA2_FILTER = 0x21;

/** Compresses into the .xz format (xz-file-format.txt of XZ Utils): one block. For worker threads. */
export function compressXz(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const blockHeader = withChecksum(
    Uint8Array.of(2, 0, LZMA2_FILTER, 1, dictionaryCode(DICTIONARY_SIZE), 0, 0, 0),
  );
  const packed = [...lzma2(bytes)];
  const packedSize = packed.reduce((sum, { length }) => sum + length, 0);
  const unpaddedSize = blockHeader.length + packedSize + 4;
  const index = withChecksum(padded(Uint8Array.of(0, 1, ...varint(unpaddedSize), ...varint(bytes.length))));
  const footer = Buffer.alloc(6);
  footer.writeUInt32LE(index.length / 4 - 1, 0);
  footer.set(FLAGS, 4);
  return new Uint8Array(
    Buffer.concat([
      MAGIC,
      withChecksum(FLAGS),
      blockHeader,
      ...packed,
      new Uint8Array(-packedSize & 3),
      crc32(bytes),
      index,
      crc32(footer),
      footer,
      FOOTER_MAGIC,
    ]),
  );
}

function withChecksum(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, crc32(bytes)]);
}

function crc32(bytes: Uint8Array): Uint8Array {
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32LE(Bun.hash.crc32(bytes as Uint8Array<ArrayBuffer>), 0);
  return checksum;
}

function padded(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([bytes, new Uint8Array(-bytes.length & 3)]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return bytes;
}

/** Even codes are powers of two from 4 KiB on. */
function dictionaryCode(size: number): number {
  return (Math.log2(size) - 12) * 2;
}
