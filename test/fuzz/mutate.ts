import { Choices } from "../support/choices.ts";

const BYTES = [0, 1, 0x7f, 0x80, 0xff];
const NUMBERS = [
  0n,
  1n,
  7n,
  8n,
  63n,
  255n,
  256n,
  4095n,
  4096n,
  4097n,
  65535n,
  65536n,
  1n << 30n,
  (1n << 31n) - 1n,
];
const LARGE = [
  1n << 31n,
  (1n << 32n) - 1n,
  1n << 32n,
  (1n << 53n) + 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
];
/** Inputs don't grow beyond this by mutation. */
const MAX_SIZE = 1 << 20;

/** What may be put in the place of a field of text. */
const WORDS = [
  "",
  "-",
  "0",
  "-1",
  "1",
  "00000000000",
  "18446744073709551615",
  "18446744073709551616",
  "9007199254740993",
  "4294967296",
  "1e9",
  "0x10",
  "null",
  "true",
  "{}",
  "[]",
  '""',
  "/",
  "..",
  "/../x",
  "a//b",
  "\\x00",
  "\\xff",
  "\0",
  "\xc3\x28",
  "sha256:",
  `sha256:${"0".repeat(64)}`,
  "x".repeat(300),
];

/** A number for the choices of the input of this index. */
export function seedOf(seed: number, index: number): number {
  return Math.imul(seed ^ (index * 0x9e3779b9), 0x85ebca6b) >>> 0;
}

/** One to eight changes to one of the seeds. */
export function mutate(choices: Choices, seeds: readonly Uint8Array[], isText: boolean): Buffer {
  let bytes: Buffer = Buffer.from(choices.of(seeds));
  for (let left = choices.of([1, 1, 2, 3, 8]); left > 0; left--)
    bytes = mutateOnce(choices, bytes, seeds, isText);
  return bytes.length > MAX_SIZE ? bytes.subarray(0, MAX_SIZE) : bytes;
}

function mutateOnce(choices: Choices, bytes: Buffer, seeds: readonly Uint8Array[], isText: boolean): Buffer {
  if (bytes.length === 0) return Buffer.from(choices.of(seeds));
  const at = place(choices, bytes);
  switch (choices.below(isText ? 12 : 9)) {
    case 0:
      bytes[at]! ^= 1 << choices.below(8);
      return bytes;
    case 1:
      bytes[at] = choices.chance(0.5) ? choices.of(BYTES) : choices.below(256);
      return bytes;
    case 2:
    case 3:
      return withNumber(choices, bytes, at);
    case 4:
      return splice(bytes, at, choices.of([1, 2, 4, 8, 12, 32, 512]), Buffer.alloc(0));
    case 5: {
      const from = place(choices, bytes);
      return splice(bytes, at, 0, bytes.subarray(from, from + choices.of([1, 4, 12, 32, 64, 512, 4096])));
    }
    case 6: {
      const other = choices.of(seeds);
      const from = choices.below(Math.max(1, other.length));
      const piece = Buffer.from(other.subarray(from, from + choices.of([4, 32, 512, 4096])));
      return splice(bytes, at, choices.chance(0.5) ? piece.length : 0, piece);
    }
    case 7:
      return bytes.subarray(0, at);
    case 8:
      return Buffer.concat([bytes, Buffer.alloc(choices.of([1, 8, 512, 4096]), choices.of(BYTES))]);
    default:
      return withWord(choices, bytes, at);
  }
}

/** Mostly where something is: padding teaches little. */
function place(choices: Choices, bytes: Buffer): number {
  let at = 0;
  for (let tries = 0; tries < 8; tries++) {
    at = choices.below(bytes.length);
    if (bytes[at] !== 0) break;
  }
  return Math.max(0, Math.min(bytes.length - 1, at + (choices.chance(0.3) ? choices.below(9) - 4 : 0)));
}

function splice(bytes: Buffer, at: number, removed: number, added: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(Math.min(bytes.length, at + removed))]);
}

/** A number of 2, 4 or 8 bytes in either order, aligned or not, set to a remarkable value or changed by a little. */
function withNumber(choices: Choices, bytes: Buffer, near: number): Buffer {
  const size = choices.of([2, 4, 4, 8]);
  const at = choices.chance(0.7) ? near - (near % size) : near;
  if (at + size > bytes.length) return bytes;
  const big = choices.chance(0.3);
  const order = (b: Buffer) => (big ? b.reverse() : b);
  const old = Buffer.alloc(8);
  old.set(order(Buffer.from(bytes.subarray(at, at + size))));
  const value = choices.chance(0.4)
    ? old.readBigUInt64LE() + BigInt(choices.below(17) - 8)
    : choices.of(choices.chance(0.6) ? NUMBERS : LARGE);
  const now = Buffer.alloc(8);
  now.writeBigUInt64LE(BigInt.asUintN(64, value));
  bytes.set(order(now.subarray(0, size)), at);
  return bytes;
}

/** The word, number or string around a place is replaced by another one. */
function withWord(choices: Choices, bytes: Buffer, at: number): Buffer {
  const ends = (byte: number) => byte <= 0x20 || '",:{}[]='.includes(String.fromCharCode(byte));
  let start = at;
  while (start > 0 && at - start < 200 && !ends(bytes[start - 1]!)) start--;
  let end = at;
  while (end < bytes.length && end - at < 200 && !ends(bytes[end]!)) end++;
  return splice(bytes, start, end - start, Buffer.from(choices.of(WORDS), "latin1"));
}

export interface InputOptions {
  readonly seeds: readonly Uint8Array[];
  readonly isText: boolean;
  readonly finish: Finish | undefined;
}

/** The input of an index, the same for the same seed. */
export function inputOf(options: InputOptions, seed: number, index: number): Uint8Array<ArrayBuffer> {
  const choices = new Choices(seedOf(seed, index));
  const bytes = mutate(choices, options.seeds, options.isText);
  return new Uint8Array(options.finish?.(bytes, choices) ?? bytes);
}

/** Makes what was mutated pass the first checks: checksums, compression. */
export type Finish = (bytes: Buffer, choices: Choices) => Uint8Array;
