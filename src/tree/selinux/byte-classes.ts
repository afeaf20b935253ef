import { type ByteSet, bytesWhere, otherCase } from "./pattern.ts";

const isDigit = (b: number) => b >= 0x30 && b <= 0x39;
const isLower = (b: number) => b >= 0x61 && b <= 0x7a;
const isUpper = (b: number) => b >= 0x41 && b <= 0x5a;
const isAlpha = (b: number) => isLower(b) || isUpper(b);
const isGraph = (b: number) => b > 0x20 && b < 0x7f;
const isSpace = (b: number) => b === 0x20 || (b >= 0x09 && b <= 0x0d);

/** A character of a word, as `\w` and `\b` take it. -1 stands for the end of the subject. */
export const isWord = (b: number) => isAlpha(b) || isDigit(b) || b === 0x5f;

/** The classes of `[[:name:]]`, for ASCII. */
export const POSIX_CLASSES: ReadonlyMap<string, (byte: number) => boolean> = new Map([
  ["alnum", (b: number) => isAlpha(b) || isDigit(b)],
  ["alpha", isAlpha],
  ["ascii", (b: number) => b < 0x80],
  ["blank", (b: number) => b === 0x20 || b === 0x09],
  ["cntrl", (b: number) => b < 0x20 || b === 0x7f],
  ["digit", isDigit],
  ["graph", isGraph],
  ["lower", isLower],
  ["print", (b: number) => isGraph(b) || b === 0x20],
  ["punct", (b: number) => isGraph(b) && !isAlpha(b) && !isDigit(b)],
  ["space", isSpace],
  ["upper", isUpper],
  ["word", isWord],
  ["xdigit", (b: number) => isDigit(b) || ((b | 0x20) >= 0x61 && (b | 0x20) <= 0x66)],
]);

/** `\d`, `\s`, `\w`, and what they leave out; undefined for any other letter. */
export function perlClass(letter: string): ByteSet | undefined {
  const holds = { d: isDigit, s: isSpace, w: isWord }[letter.toLowerCase()];
  if (holds === undefined) return undefined;
  return bytesWhere((b) => holds(b) === (letter === letter.toLowerCase()));
}

/** Adds the other case of every letter in a set. */
export function withBothCases(set: ByteSet): ByteSet {
  return bytesWhere((b) => set[b] === 1 || set[otherCase(b)] === 1);
}
