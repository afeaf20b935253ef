import { type Algorithm, SHA256, SHA512 } from "../verity/digest.ts";

/** Suffix of `trusted.overlay.metacopy`, as it stands in the image before the value. */
const METACOPY = Buffer.from("overlay.metacopy", "latin1");

/** Bytes from the beginning of what is looked for to the digest: who reads an image in pieces lets them overlap so far. */
export const METACOPY_SPAN = METACOPY.length + 4;

/**
 * Shows the digest of every object that an image of ours refers to, without parsing the image: it looks for the
 * values of metacopy xattrs. That is ten times faster than collecting them inode by inode, and finds all of them; a
 * file's inline data may make it find something else as well.
 * @param visit gets the image's bytes and where in them a digest begins; the same digest may come often. False ends
 *   the search.
 */
export function scanObjectDigests(
  image: Uint8Array<ArrayBufferLike>,
  algorithm: Algorithm,
  visit: (bytes: Buffer<ArrayBufferLike>, offset: number) => unknown,
): void {
  const bytes = Buffer.from(image.buffer, image.byteOffset, image.length);
  const valueHeader = (0x00 << 24) | ((algorithm.size + 4) << 16) | (0x00 << 8) | algorithm.kernelId;
  for (let at = bytes.indexOf(METACOPY); at >= 0; at = bytes.indexOf(METACOPY, at)) {
    at += METACOPY.length;
    const end = at + 4 + algorithm.size;
    if (end <= bytes.length && bytes.readUInt32BE(at) === valueHeader && visit(bytes, at + 4) === false)
      return;
  }
}

/** The algorithm of the objects that an image refers to; undefined when it refers to none. */
export function algorithmOfImage(image: Uint8Array<ArrayBufferLike>): Algorithm | undefined {
  for (const algorithm of [SHA256, SHA512]) {
    let isFound = false;
    scanObjectDigests(image, algorithm, () => {
      isFound = true;
      return false;
    });
    if (isFound) return algorithm;
  }
  return undefined;
}
