import type { ByteString } from "../bytes.ts";

const P1 = 0x9e3779b1;
const P2 = 0x85ebca77;
const P3 = 0xc2b2ae3d;
const P4 = 0x27d4eb2f;
const P5 = 0x165667b1;

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function word(s: ByteString, at: number): number {
  return (
    s.charCodeAt(at) |
    (s.charCodeAt(at + 1) << 8) |
    (s.charCodeAt(at + 2) << 16) |
    (s.charCodeAt(at + 3) << 24)
  );
}

function round(accumulator: number, input: number): number {
  return Math.imul(rotateLeft(accumulator + Math.imul(input, P2), 13), P1);
}

/** xxHash, 32 bits (xxHash specification 0.1.1), of the bytes of a byte string; unsigned. */
export function xxh32(s: ByteString, seed: number): number {
  const length = s.length;
  let at = 0;
  let hash: number;
  if (length >= 16) {
    let a = (seed + P1 + P2) | 0;
    let b = (seed + P2) | 0;
    let c = seed | 0;
    let d = (seed - P1) | 0;
    for (; at + 16 <= length; at += 16) {
      a = round(a, word(s, at));
      b = round(b, word(s, at + 4));
      c = round(c, word(s, at + 8));
      d = round(d, word(s, at + 12));
    }
    hash = rotateLeft(a, 1) + rotateLeft(b, 7) + rotateLeft(c, 12) + rotateLeft(d, 18);
  } else {
    hash = seed + P5;
  }
  hash = (hash + length) | 0;
  for (; at + 4 <= length; at += 4) {
    hash = Math.imul(rotateLeft(hash + Math.imul(word(s, at), P3), 17), P4);
  }
  for (; at < length; at++) {
    hash = Math.imul(rotateLeft(hash + Math.imul(s.charCodeAt(at), P5), 11), P1);
  }
  hash = Math.imul(hash ^ (hash >>> 15), P2);
  hash = Math.imul(hash ^ (hash >>> 13), P3);
  return (hash ^ (hash >>> 16)) >>> 0;
}
