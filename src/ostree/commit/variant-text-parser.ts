import { CfsError } from "../../errors.ts";
import { type GType, gtype } from "../gvariant-type.ts";

/** A value as it is written, before its type is known. */
export type Expression =
  | { readonly kind: "number"; readonly text: string }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "nothing" }
  | { readonly kind: "variant" | "just"; readonly item: Expression }
  | { readonly kind: "typed"; readonly type: GType; readonly item: Expression }
  | { readonly kind: "array" | "tuple" | "entry"; readonly items: readonly Expression[] }
  | { readonly kind: "dictionary"; readonly entries: readonly (readonly [Expression, Expression])[] };

const KEYWORDS: Readonly<Record<string, string>> = {
  boolean: "b",
  byte: "y",
  int16: "n",
  uint16: "q",
  int32: "i",
  uint32: "u",
  handle: "h",
  int64: "x",
  uint64: "t",
  double: "d",
  string: "s",
  objectpath: "o",
  signature: "g",
};

const MAX_DEPTH = 64;

/** The text format of GVariant (GLib reference manual, "GVariant Text Format"). @throws CfsError Invalid */
export function parseExpression(text: string): Expression {
  const parser = new Parser(text);
  const expression = parser.value(0);
  parser.expectEnd();
  return expression;
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  expectEnd(): void {
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected();
  }

  value(depth: number): Expression {
    if (depth > MAX_DEPTH) throw new CfsError("Invalid", "the value is nested too deeply");
    this.#skipSpace();
    const next = this.#text[this.#at];
    switch (next) {
      case "'":
      case '"':
        return { kind: "text", text: this.#string() };
      case "[":
        this.#at++;
        return { kind: "array", items: this.#list("]", depth) };
      case "(":
        return this.#tuple(depth);
      case "{":
        return this.#braces(depth);
      case "<": {
        this.#at++;
        const item = this.value(depth + 1);
        this.#expect(">");
        return { kind: "variant", item };
      }
      case "@": {
        const signature = this.#match(/[a-z(){}]+/y, this.#at + 1);
        return { kind: "typed", type: this.#type(signature), item: this.value(depth + 1) };
      }
    }
    if (next === "b" && /['"]/.test(this.#text[this.#at + 1] ?? "")) {
      this.#at++;
      return { kind: "bytes", bytes: this.#byteString() };
    }
    return this.#word(depth);
  }

  #word(depth: number): Expression {
    const word = this.#match(/[A-Za-z0-9_.+-]+/y, this.#at);
    switch (word) {
      case "true":
      case "false":
        return { kind: "boolean", value: word === "true" };
      case "nothing":
        return { kind: "nothing" };
      case "just":
        return { kind: "just", item: this.value(depth + 1) };
    }
    const signature = Object.hasOwn(KEYWORDS, word) ? KEYWORDS[word] : undefined;
    if (signature !== undefined)
      return { kind: "typed", type: gtype(signature), item: this.value(depth + 1) };
    if (/^[+-]?([0-9.]|inf|nan)/i.test(word)) return { kind: "number", text: word };
    throw new CfsError("Invalid", `'${word}' is no value`, {
      hint: "texts stand in quotes: `'text'`",
    });
  }

  #type(signature: string): GType {
    try {
      return gtype(signature);
    } catch (error) {
      throw new CfsError("Invalid", `'${signature}' is no type`, { cause: error });
    }
  }

  #tuple(depth: number): Expression {
    this.#at++;
    const items: Expression[] = [];
    for (;;) {
      if (this.#take(")")) break;
      items.push(this.value(depth + 1));
      const hasComma = this.#take(",");
      // A tuple of one has a comma, which tells it from a value in parentheses.
      if (!hasComma && items.length === 1) throw this.#unexpected();
      if (hasComma) continue;
      this.#expect(")");
      break;
    }
    return { kind: "tuple", items };
  }

  #braces(depth: number): Expression {
    this.#at++;
    const entries: [Expression, Expression][] = [];
    if (this.#take("}")) return { kind: "dictionary", entries };
    for (;;) {
      const key = this.value(depth + 1);
      if (entries.length === 0 && this.#take(",")) {
        const value = this.value(depth + 1);
        this.#expect("}");
        return { kind: "entry", items: [key, value] };
      }
      this.#expect(":");
      entries.push([key, this.value(depth + 1)]);
      if (this.#take("}")) return { kind: "dictionary", entries };
      this.#expect(",");
    }
  }

  #list(close: string, depth: number): Expression[] {
    const items: Expression[] = [];
    if (this.#take(close)) return items;
    for (;;) {
      items.push(this.value(depth + 1));
      if (this.#take(close)) return items;
      this.#expect(",");
    }
  }

  #string(): string {
    const quote = this.#text[this.#at++]!;
    let result = "";
    for (;;) {
      const next = this.#text[this.#at++];
      if (next === undefined) throw new CfsError("Invalid", "a text has no end");
      if (next === quote) return result;
      result += next === "\\" ? this.#escape() : next;
    }
  }

  #escape(): string {
    const next = this.#text[this.#at++] ?? "";
    if (next === "u" || next === "U") {
      const length = next === "u" ? 4 : 8;
      const digits = this.#text.slice(this.#at, this.#at + length);
      this.#at += length;
      const code = Number.parseInt(digits, 16);
      const isWhole = digits.length === length && /^[0-9a-fA-F]+$/.test(digits);
      if (!isWhole || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        throw new CfsError("Invalid", `\\${next}${digits} is no character`);
      return String.fromCodePoint(code);
    }
    return ESCAPES[next] ?? next;
  }

  /** A byte string ends with a NUL that is not written. */
  #byteString(): Uint8Array {
    const quote = this.#text[this.#at++]!;
    const parts: Uint8Array[] = [];
    for (;;) {
      const start = this.#at;
      while (this.#at < this.#text.length && this.#text[this.#at] !== quote && this.#text[this.#at] !== "\\")
        this.#at++;
      parts.push(Buffer.from(this.#text.slice(start, this.#at), "utf8"));
      const next = this.#text[this.#at++];
      if (next === undefined) throw new CfsError("Invalid", "a byte string has no end");
      if (next === quote) return new Uint8Array(Buffer.concat([...parts, Uint8Array.of(0)]));
      const octal = /^[0-7]{1,3}/.exec(this.#text.slice(this.#at, this.#at + 3))?.[0];
      if (octal !== undefined) {
        this.#at += octal.length;
        parts.push(Uint8Array.of(Number.parseInt(octal, 8)));
      } else {
        const escaped = this.#text[this.#at++] ?? "";
        parts.push(Buffer.from(ESCAPES[escaped] ?? escaped, "utf8"));
      }
    }
  }

  #match(pattern: RegExp, at: number): string {
    pattern.lastIndex = at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) throw this.#unexpected();
    this.#at = at + found.length;
    return found;
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expect(character: string): void {
    if (!this.#take(character)) throw this.#unexpected(`, where '${character}' is expected`);
  }

  #skipSpace(): void {
    while (/\s/.test(this.#text[this.#at] ?? "")) this.#at++;
  }

  #unexpected(more = ""): CfsError {
    const next = this.#text[this.#at];
    return next === undefined
      ? new CfsError("Invalid", `the value ends too early${more}`)
      : new CfsError("Invalid", `unexpected '${next}' at position ${this.#at + 1}${more}`);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};
