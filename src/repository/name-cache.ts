import type { ByteString } from "../bytes.ts";

/** A power of two. */
const SLOTS = 16384;
const SLOT_SHIFT = 18;

/**
 * Gives equal names the same string, without making another one first: many directories hold files of the same names. It
 * forgets those of long ago.
 */
export class NameCache {
  readonly #names: ByteString[] = new Array(SLOTS).fill("");

  of(bytes: Buffer, start: number, end: number): ByteString {
    let hash = end - start;
    for (let at = start; at < end; at++) hash = Math.imul(hash, 0x01000193) ^ bytes[at]!;
    const slot = Math.imul(hash, 0x9e3779b1) >>> SLOT_SHIFT;
    const known = this.#names[slot]!;
    if (equals(known, bytes, start, end)) return known;
    const name = bytes.latin1Slice(start, end);
    this.#names[slot] = name;
    return name;
  }
}

function equals(name: ByteString, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) !== bytes[start + i]) return false;
  return true;
}
