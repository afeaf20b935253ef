/**
 * Names, link targets and xattr values are bytes, not text. We keep them as strings with one character
 * (U+0000–U+00FF) a byte: they are compact, usable as Map keys, and `<` compares them as memcmp would.
 */
export type ByteString = string & { readonly __bytes?: never };

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true });

export function bytesOf(s: ByteString): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(s, "latin1"));
}

export function byteString(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).latin1Slice();
}

/** The bytes of a text in UTF-8, as a byte string. */
export function fromText(text: string): ByteString {
  return byteString(utf8Encoder.encode(text));
}

/** The text a byte string holds, or undefined when it is not UTF-8. */
export function toText(s: ByteString): string | undefined {
  try {
    return utf8Decoder.decode(bytesOf(s));
  } catch {
    return undefined;
  }
}

/** For messages: UTF-8 where it is, `\xHH` for control characters and bytes that are no UTF-8; at most 200 characters. */
export function display(s: ByteString): string {
  const text = toText(s) ?? s.replace(/[\x80-\xff]/g, hexEscape);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not reach a terminal
  const safe = text.replace(/[\x00-\x1f\x7f-\x9f]/g, hexEscape);
  return safe.length > 200 ? `${safe.slice(0, 200)}…` : safe;
}

function hexEscape(c: string): string {
  return `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

/** memcmp order: -1, 0 or 1. */
export function compareBytes(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
