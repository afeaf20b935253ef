/** Value of a lower-case hexadecimal digit by its character, 255 for other characters. */
const VALUES = new Uint8Array(256).fill(255);
for (let i = 0; i < 16; i++) VALUES["0123456789abcdef".charCodeAt(i)] = i;

/**
 * Decodes hexadecimal digits, lower-case ones only, into bytes `from` to `to` of `out`; no string is made.
 * @returns false when there are other characters.
 */
export function readHex(
  digits: Uint8Array,
  start: number,
  out: Uint8Array,
  from: number,
  to: number,
): boolean {
  for (let i = from, at = start; i < to; i++, at += 2) {
    const high = VALUES[digits[at]!]!;
    const low = VALUES[digits[at + 1]!]!;
    if ((high | low) > 15) return false;
    out[i] = (high << 4) | low;
  }
  return true;
}
