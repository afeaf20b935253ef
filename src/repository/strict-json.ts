import { CfsError } from "../errors.ts";

interface At {
  /** Counted from 1. */
  readonly line: number;
  /** In characters, counted from 1. */
  readonly column: number;
}

/** A JSON value with its place in the text. Members of an object keep their order and are not made unique. */
export type JsonValue = At &
  (
    | { readonly kind: "null" }
    | { readonly kind: "boolean"; readonly value: boolean }
    | { readonly kind: "integer"; readonly value: bigint }
    | { readonly kind: "float"; readonly text: string }
    | { readonly kind: "string"; readonly value: string }
    | { readonly kind: "array"; readonly items: readonly JsonValue[] }
    | { readonly kind: "object"; readonly members: readonly JsonMember[] }
  );

export interface JsonMember {
  readonly name: string;
  readonly value: JsonValue;
}

/** Deeper nesting is refused, so that hostile text can't exhaust the stack. */
const MAX_DEPTH = 127;

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const INTEGER = /^(?:0|-?[1-9][0-9]*)$/;
/** Everything but control characters below U+0020, the quote and the backslash. */
const PLAIN_TEXT = /[\u0020\u0021\u0023-\u005b\u005d-\u{10ffff}]+/uy;
const UNICODE_ESCAPE = /[0-9a-fA-F]{4}/y;

const ESCAPES: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/**
 * Parses RFC 8259 JSON. Unlike `JSON.parse` it shows duplicate members, tells `1` from `1.0`, refuses lone
 * surrogates and text that is not UTF-8, and knows where each value stands.
 * @throws CfsError Corrupt, with line and column
 */
export function parseStrictJson(bytes: Uint8Array): JsonValue {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CfsError("Corrupt", "it is not UTF-8");
  }
  return new Parser(text).document();
}

/** An error about a value, naming its place. */
export function jsonError(at: { readonly line: number; readonly column: number }, message: string): CfsError {
  return new CfsError("Corrupt", `line ${at.line} column ${at.column}: ${message}`);
}

class Parser {
  readonly #text: string;
  #offset = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): JsonValue {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#offset < this.#text.length) throw this.#error("unexpected text after the end");
    return value;
  }

  #value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw this.#error("nested too deeply");
    this.#skipSpace();
    const at = this.#position();
    switch (this.#text[this.#offset]) {
      case "{":
        return { ...at, kind: "object", members: this.#members(depth) };
      case "[":
        return { ...at, kind: "array", items: this.#items(depth) };
      case '"':
        return { ...at, kind: "string", value: this.#string() };
      case undefined:
        throw this.#error("the text ends where a value is expected");
    }
    if (this.#takeWord("null")) return { ...at, kind: "null" };
    if (this.#takeWord("true")) return { ...at, kind: "boolean", value: true };
    if (this.#takeWord("false")) return { ...at, kind: "boolean", value: false };
    const number = this.#match(NUMBER);
    if (number === undefined) throw this.#error("a value is expected here");
    // "-0" is no integer: it has a sign that an integer can't keep.
    if (INTEGER.test(number)) return { ...at, kind: "integer", value: BigInt(number) };
    return { ...at, kind: "float", text: number };
  }

  #members(depth: number): JsonMember[] {
    const members: JsonMember[] = [];
    this.#offset++;
    this.#skipSpace();
    if (this.#take("}")) return members;
    do {
      this.#skipSpace();
      if (this.#text[this.#offset] !== '"') throw this.#error("a member name in quotes is expected here");
      const name = this.#string();
      this.#skipSpace();
      if (!this.#take(":")) throw this.#error("':' is expected here");
      members.push({ name, value: this.#value(depth + 1) });
      this.#skipSpace();
    } while (this.#take(","));
    if (!this.#take("}")) throw this.#error("',' or '}' is expected here");
    return members;
  }

  #items(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.#offset++;
    this.#skipSpace();
    if (this.#take("]")) return items;
    do {
      items.push(this.#value(depth + 1));
      this.#skipSpace();
    } while (this.#take(","));
    if (!this.#take("]")) throw this.#error("',' or ']' is expected here");
    return items;
  }

  #string(): string {
    let value = "";
    this.#offset++;
    for (;;) {
      value += this.#match(PLAIN_TEXT) ?? "";
      if (this.#take('"')) break;
      if (!this.#take("\\")) {
        const atEnd = this.#offset === this.#text.length;
        throw this.#error(atEnd ? "the text ends inside a string" : "control character in a string");
      }
      const letter = this.#text[this.#offset++] ?? "";
      if (letter === "u") {
        const hex = this.#match(UNICODE_ESCAPE);
        if (hex === undefined) throw this.#error("four hexadecimal digits are expected after \\u");
        value += String.fromCharCode(Number.parseInt(hex, 16));
      } else {
        const plain = ESCAPES[letter];
        if (plain === undefined) throw this.#error("unknown escape in a string");
        value += plain;
      }
    }
    if (!value.isWellFormed()) throw this.#error("lone surrogate in a string");
    return value;
  }

  #skipSpace(): void {
    while (" \t\r\n".includes(this.#text[this.#offset] ?? "x")) this.#offset++;
  }

  #take(c: string): boolean {
    if (this.#text[this.#offset] !== c) return false;
    this.#offset++;
    return true;
  }

  #takeWord(word: string): boolean {
    if (!this.#text.startsWith(word, this.#offset)) return false;
    this.#offset += word.length;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#offset += found.length;
    return found;
  }

  #position(): At {
    const before = this.#text.slice(0, this.#offset);
    return { line: before.split("\n").length, column: this.#offset - before.lastIndexOf("\n") };
  }

  #error(message: string): CfsError {
    return jsonError(this.#position(), message);
  }
}
