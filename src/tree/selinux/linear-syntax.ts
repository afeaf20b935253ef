import { fromText } from "../../bytes.ts";
import { isWord, POSIX_CLASSES, perlClass, withBothCases } from "./byte-classes.ts";
import {
  type Assertion,
  type ByteSet,
  bytesWhere,
  complement,
  literalByte,
  type Pattern,
  sequence,
} from "./pattern.ts";
import { type Flags, type OpenGroup, PatternReader } from "./pattern-reader.ts";

const CONTROL: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };
const GROUP_NAME = /^P?<([A-Za-z_][A-Za-z0-9_.[\]]*)>/;
/** Longer names, numbers and lists of flags are not read. */
const MAX_TOKEN = 256;

const ANY_BUT_NUL: Pattern = { kind: "set", set: bytesWhere((b) => b !== 0) };
const ANY_BYTE: Pattern = { kind: "set", set: bytesWhere(() => true) };

const isWordStart: Assertion = (before, after) => !isWord(before) && isWord(after);
const isWordEnd: Assertion = (before, after) => isWord(before) && !isWord(after);
const ASSERTIONS: Readonly<Record<string, Assertion>> = {
  "^": (before) => before === -1,
  A: (before) => before === -1,
  $: (_, after) => after === -1,
  z: (_, after) => after === -1,
  b: (before, after) => isWord(before) !== isWord(after),
  B: (before, after) => isWord(before) === isWord(after),
  "<": isWordStart,
  ">": isWordEnd,
  "b{start}": isWordStart,
  "b{end}": isWordEnd,
  "b{start-half}": (before) => !isWord(before),
  "b{end-half}": (_, after) => !isWord(after),
};

/**
 * The syntax of Rust's `regex` crate (https://docs.rs/regex), with Unicode off and NUL as the end of a line, which
 * composefs tries first on every pattern. It knows neither references nor looking around.
 */
class LinearReader extends PatternReader {
  protected readonly repeatsNest = true;
  readonly #names = new Set<string>();

  protected atom(): Pattern {
    const char = this.take();
    switch (char) {
      case ".":
        return this.flags.dotAll ? ANY_BYTE : ANY_BUT_NUL;
      case "[":
        return { kind: "set", set: this.#set() };
      case "^":
      case "$":
        return { kind: "assertion", holds: ASSERTIONS[char]! };
      case "\\":
        return this.#escape();
      default:
        return this.#literal(char);
    }
  }

  protected counts(): { min: number; max: number } {
    const found = this.skipMatch(/^\{(?:(\d+)(,?)(\d*)|,(\d+))\}/, MAX_TOKEN);
    if (found === undefined) throw this.invalid("repetition quantifier expects a valid decimal");
    const [, first, comma, second, upTo] = found;
    if (upTo !== undefined) return { min: 0, max: Number(upTo) };
    const min = Number(first);
    if (comma === "") {
      if (second !== "") throw this.invalid("repetition quantifier expects a valid decimal");
      return { min, max: min };
    }
    return { min, max: second === "" ? Infinity : Number(second) };
  }

  protected openGroup(): OpenGroup {
    const capture = () => {
      const index = ++this.groups;
      return { close: (part: Pattern): Pattern => ({ kind: "group", part, index }) };
    };
    if (!this.skip("?")) return capture();
    const name = this.skipMatch(GROUP_NAME, MAX_TOKEN)?.[1];
    if (name !== undefined) {
      if (this.#names.has(name)) throw this.invalid("duplicate capture group name");
      this.#names.add(name);
      return capture();
    }
    const flags = this.#flags();
    if (this.skip(")")) return { close: undefined, flags };
    if (!this.skip(":")) throw this.invalid("unrecognized flag");
    return { close: (part) => part, flags };
  }

  #flags(): Flags {
    const flags = { ...this.flags };
    let on = true;
    let count = 0;
    while (this.next !== ")" && this.next !== ":") {
      const char = this.take();
      count++;
      if (char === "-" && on) {
        on = false;
        count = 0;
      } else if (char === "i") flags.ignoreCase = on;
      else if (char === "s") flags.dotAll = on;
      else if (char === "u" && on) throw this.unsupported("the flag u");
      else if (char === "x" || char === "R") throw this.unsupported(`the flag ${char}`);
      // Neither changes whether a pattern matches, since no subject holds a NUL.
      else if (char !== "m" && char !== "U" && char !== "u") throw this.invalid("unrecognized flag");
    }
    if (count === 0 && !(on && this.next === ":")) throw this.invalid("flags are missing");
    return flags;
  }

  #escape(): Pattern {
    const char = this.take();
    if (char === "b") {
      const kind = this.skipMatch(/^\{(?:start|end|start-half|end-half)\}/, MAX_TOKEN)?.[0] ?? "";
      return { kind: "assertion", holds: ASSERTIONS[`b${kind}`]! };
    }
    if (/^[ABz<>]$/.test(char)) return { kind: "assertion", holds: ASSERTIONS[char]! };
    const set = perlClass(char);
    if (set !== undefined) return { kind: "set", set };
    const { byte, text } = this.#escapedCharacter(char);
    return byte === undefined ? this.#literal(text) : literalByte(byte, this.flags.ignoreCase);
  }

  /** A character that an escape stands for; only `\xHH` means a byte whatever its value. */
  #escapedCharacter(char: string): { byte?: number; text: string } {
    const control = CONTROL[char];
    if (control !== undefined) return { text: String.fromCharCode(control) };
    const digits = HEX_DIGITS[char];
    if (digits !== undefined) {
      const fixed = this.skipMatch(new RegExp(`^[0-9A-Fa-f]{${digits}}`), digits)?.[0];
      const code = fixed ?? this.skipMatch(/^\{([0-9A-Fa-f]+)\}/, MAX_TOKEN)?.[1];
      if (code === undefined) throw this.invalid("hexadecimal digits are missing");
      const value = Number.parseInt(code, 16);
      if (fixed !== undefined && char === "x") return { byte: value, text: String.fromCharCode(value) };
      if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) throw this.invalid("no such character");
      return { text: String.fromCodePoint(value) };
    }
    // Of the ASCII characters, letters and digits are kept for other meanings.
    if (char > "\x7f" || /[0-9A-Za-z<>]/.test(char)) throw this.invalid("unrecognized escape");
    return { text: char };
  }

  /** A character as the bytes of its UTF-8 form. */
  #literal(char: string): Pattern {
    const { ignoreCase } = this.flags;
    return sequence(Array.from(fromText(char), (byte) => literalByte(byte.charCodeAt(0), ignoreCase)));
  }

  /** What follows `[`. Sets nest, and `&&`, `--` and `~~` combine what stands on their two sides. */
  #set(depth = 0): ByteSet {
    if (depth > 250) throw this.invalid("sets are too deeply nested");
    const negated = this.skip("^");
    let left: { set: ByteSet; operator: string } | undefined;
    let union: ByteSet = new Uint8Array(256);
    let isEmpty = true;
    const add = (set: ByteSet) => {
      for (let b = 0; b < 256; b++) union[b]! |= set[b]!;
      isEmpty = false;
    };
    const combine = () => {
      if (left !== undefined) union = applyOperator(left.operator, left.set, union);
    };
    while (this.skip("-")) add(single(0x2d));
    if (isEmpty && this.skip("]")) add(single(0x5d));
    for (;;) {
      if (this.skip("]")) break;
      const operator = ["&&", "--", "~~"].find((two) => this.skip(two));
      if (operator !== undefined) {
        combine();
        left = { set: union, operator };
        union = new Uint8Array(256);
        continue;
      }
      if (this.next === "[") {
        const posix = this.#posixClass();
        if (posix === undefined) this.at++;
        add(this.#folded(posix ?? this.#set(depth + 1)));
        continue;
      }
      add(this.#folded(this.#range()));
    }
    combine();
    return negated ? complement(union) : union;
  }

  #posixClass(): ByteSet | undefined {
    const start = this.at;
    const found = this.skipMatch(/^\[:(\^?)([a-z]+):\]/, 32);
    const holds = found && POSIX_CLASSES.get(found[2]!);
    if (holds === undefined) {
      this.at = start;
      return undefined;
    }
    return bytesWhere((b) => holds(b) === (found![1] === ""));
  }

  #range(): ByteSet {
    const first = this.#item();
    const following = this.text[this.at + 1];
    if (this.next !== "-" || following === "]" || following === "-")
      return typeof first === "number" ? single(first) : first;
    this.at++;
    const last = this.#item();
    if (typeof first !== "number" || typeof last !== "number" || first > last)
      throw this.invalid("invalid range in character class");
    return bytesWhere((b) => b >= first && b <= last);
  }

  #item(): number | ByteSet {
    let char = this.take();
    if (char === "\\") {
      char = this.take();
      const set = perlClass(char);
      if (set !== undefined) return set;
      const { byte, text } = this.#escapedCharacter(char);
      if (byte !== undefined) return byte;
      char = text;
    }
    if (char > "\x7f") throw this.invalid("a set of bytes can't hold this character");
    return char.charCodeAt(0);
  }

  #folded(set: ByteSet): ByteSet {
    return this.flags.ignoreCase ? withBothCases(set) : set;
  }
}

function single(byte: number): ByteSet {
  const set = new Uint8Array(256);
  set[byte] = 1;
  return set;
}

function applyOperator(operator: string, left: ByteSet, right: ByteSet): ByteSet {
  return bytesWhere((b) => {
    if (operator === "&&") return left[b] === 1 && right[b] === 1;
    return operator === "--" ? left[b] === 1 && right[b] === 0 : left[b] !== right[b];
  });
}

/**
 * @param text the pattern, as text.
 * @throws CfsError Invalid when it is no pattern in this syntax.
 */
export function readLinearPattern(text: string): Pattern {
  return new LinearReader(Array.from(text)).read();
}
