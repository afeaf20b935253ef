import { fromText } from "../../bytes.ts";
import { isWord, POSIX_CLASSES, perlClass, withBothCases } from "./byte-classes.ts";
import {
  type Assertion,
  type ByteSet,
  bytesWhere,
  complement,
  literalByte,
  NOTHING,
  type Pattern,
} from "./pattern.ts";
import { type Flags, NO_FLAGS, type OpenGroup, PatternReader } from "./pattern-reader.ts";

const LINE_FEED = 10;
const CONTROL: Readonly<Record<string, number>> = { a: 7, e: 27, f: 12, n: LINE_FEED, r: 13, t: 9 };
const MAX_TOKEN = 256;

const isHorizontalSpace = (b: number) => b === 9 || b === 0x20 || b === 0xa0;
const isVerticalSpace = (b: number) => (b >= LINE_FEED && b <= 13) || b === 0x85;
const isNewline = (b: number) => b === LINE_FEED;

const atStart: Assertion = (before) => before === -1;
const atEnd: Assertion = (_, after) => after === -1;
const ASSERTIONS: Readonly<Record<string, Assertion>> = {
  "^": atStart,
  A: atStart,
  G: atStart,
  // `$` and `\Z` also hold before a last line feed, but every subject ends in the letter of a file type.
  $: atEnd,
  Z: atEnd,
  z: atEnd,
  b: (before, after) => isWord(before) !== isWord(after),
  B: (before, after) => isWord(before) === isWord(after),
};

/** With the flag m. */
const LINE_ASSERTIONS: Readonly<Record<string, Assertion>> = {
  "^": (before, after) => before === -1 || (before === LINE_FEED && after !== -1),
  $: (_, after) => after === -1 || after === LINE_FEED,
};

/**
 * The syntax of PCRE2 without its UTF mode (pcre2pattern(3)), for the patterns that are nothing in the other one.
 * Recursion, conditions and control verbs are not understood.
 */
class PerlReader extends PatternReader {
  protected readonly repeatsNest = false;
  readonly #names = new Map<string, number>();

  protected atom(): Pattern {
    const char = this.take();
    switch (char) {
      case ".":
        return set(bytesWhere((b) => this.flags.dotAll || !isNewline(b)));
      case "[":
        return set(this.#set());
      case "^":
      case "$":
        return { kind: "assertion", holds: (this.flags.multiLine ? LINE_ASSERTIONS : ASSERTIONS)[char]! };
      case "\\":
        return this.#escape();
      default:
        return this.#literal(char.charCodeAt(0));
    }
  }

  protected counts(): { min: number; max: number } | undefined {
    const found = this.skipMatch(/^\{(\d*)(,?)(\d*)\}/, MAX_TOKEN);
    if (found === undefined) return undefined;
    const [whole, first, comma, second] = found;
    if ((first === "" && second === "") || (comma === "" && second !== "")) {
      this.at -= whole.length;
      return undefined;
    }
    const min = Number(first);
    if (comma === "") return { min, max: min };
    return { min, max: second === "" ? Infinity : Number(second) };
  }

  protected openGroup(): OpenGroup {
    if (this.next === "*") throw this.unsupported("(*…)");
    if (!this.skip("?")) return this.#capture();
    const look = this.skipMatch(/^(?:<?[=!])/, 2)?.[0];
    if (look !== undefined) {
      const behind = look.startsWith("<");
      const negative = look.endsWith("!");
      return { close: (part) => ({ kind: "look", part, behind, negative }) };
    }
    if (this.skip(">")) return { close: (part) => ({ kind: "atomic", part }) };
    const named = this.skipMatch(/^(?:P?<(\w+)>|'(\w+)')/, MAX_TOKEN);
    if (named !== undefined) {
      const name = named[1] ?? named[2]!;
      if (this.#names.has(name)) throw this.invalid("two named subpatterns have the same name");
      this.#names.set(name, this.groups + 1);
      return this.#capture();
    }
    const reference = this.skipMatch(/^P=(\w+)/, MAX_TOKEN)?.[1];
    if (reference !== undefined) {
      const pattern = this.#referenceTo(reference);
      return { close: () => pattern };
    }
    if (this.skip("#")) {
      while (this.next !== undefined && this.next !== ")") this.at++;
      return { close: () => NOTHING };
    }
    if (this.next === undefined || !/[imsUJ^:)-]/.test(this.next))
      throw this.unsupported(`(?${this.next ?? ""}…)`);
    const flags = this.#flags();
    if (this.skip(")")) return { close: undefined, flags };
    return { close: (part) => part, flags };
  }

  #capture(): OpenGroup {
    const index = ++this.groups;
    return { close: (part) => ({ kind: "group", part, index }) };
  }

  #flags(): Flags {
    const flags = { ...(this.skip("^") ? NO_FLAGS : this.flags) };
    let on = true;
    while (this.next !== ")" && !this.skip(":")) {
      const char = this.take();
      if (char === "-") on = false;
      else if (char === "i") flags.ignoreCase = on;
      else if (char === "s") flags.dotAll = on;
      else if (char === "m") flags.multiLine = on;
      else if (char !== "U" && char !== "J") throw this.unsupported(`the flag ${char}`);
    }
    return flags;
  }

  #escape(): Pattern {
    const char = this.take();
    const assertion = /^[AGZzbB]$/.test(char) ? ASSERTIONS[char] : undefined;
    if (assertion !== undefined) return { kind: "assertion", holds: assertion };
    const found = this.#classEscape(char);
    if (found !== undefined) return set(found);
    switch (char) {
      case "N":
        return set(bytesWhere((b) => !isNewline(b)));
      case "R":
        return anyLineEnd();
      case "Q":
        return this.#quoted();
      case "E":
        return NOTHING;
      case "g": {
        const found = this.skipMatch(/^(?:\{(-?\w+)\}|(-?\d+))/, MAX_TOKEN);
        if (found === undefined) throw this.unsupported("\\g as a call");
        return this.#referenceTo(found[1] ?? found[2]!);
      }
      case "k": {
        const found = this.skipMatch(/^(?:\{(\w+)\}|<(\w+)>|'(\w+)')/, MAX_TOKEN);
        if (found === undefined) throw this.invalid("\\k needs a name");
        return this.#referenceTo(found[1] ?? found[2] ?? found[3]!);
      }
    }
    const reference = this.#numberedReference(char);
    return reference ?? this.#literal(this.#escapedByte(char));
  }

  /** Sets that mean the same inside and outside of brackets. */
  #classEscape(char: string): ByteSet | undefined {
    const isPlain = char === char.toLowerCase();
    switch (char.toLowerCase()) {
      case "h":
        return bytesWhere((b) => isHorizontalSpace(b) === isPlain);
      case "v":
        return bytesWhere((b) => isVerticalSpace(b) === isPlain);
      case "p":
        return this.#property(isPlain);
      default:
        return perlClass(char);
    }
  }

  /** `\pL`, `\p{Lu}`, `\p{^Greek}`: without UTF mode, bytes are the first 256 characters of Unicode. */
  #property(isPlain: boolean): ByteSet {
    const found = this.skipMatch(/^(?:\{(\^?)([\w& ]+)\}|(\w))/, MAX_TOKEN);
    if (found === undefined) throw this.invalid("malformed \\P or \\p sequence");
    const name = found[2] ?? found[3]!;
    for (const property of [name, `Script_Extensions=${name}`]) {
      let expression: RegExp;
      try {
        expression = new RegExp(`^\\p{${property}}$`, "u");
      } catch {
        continue;
      }
      return bytesWhere((b) => (expression.test(String.fromCharCode(b)) !== (found[1] === "^")) === isPlain);
    }
    throw this.unsupported(`the property ${name}`);
  }

  #numberedReference(first: string): Pattern | undefined {
    if (first < "1" || first > "9") return undefined;
    const more = /^\d*/.exec(this.text.slice(this.at, this.at + 4).join(""))![0];
    const index = Number(first + more);
    if (index >= 10 && index > this.groups) return undefined;
    this.at += more.length;
    return { kind: "reference", index, ignoreCase: this.flags.ignoreCase };
  }

  /** By name, number, or, with a minus sign, number counted backwards. */
  #referenceTo(name: string): Pattern {
    const number = /^-?\d+$/.test(name) ? Number(name) : undefined;
    const index =
      number === undefined ? this.#names.get(name) : number < 0 ? this.groups + 1 + number : number;
    if (index === undefined || index < 1) throw this.invalid("reference to non-existent subpattern");
    return { kind: "reference", index, ignoreCase: this.flags.ignoreCase };
  }

  #quoted(): Pattern {
    const parts: Pattern[] = [];
    while (this.next !== undefined && !this.skip("\\E")) parts.push(this.#literal(this.take().charCodeAt(0)));
    if (this.next !== undefined && "*+?{".includes(this.next)) throw this.unsupported("repeating \\Q…\\E");
    return { kind: "sequence", parts };
  }

  /** The byte that an escape stands for, inside and outside of brackets. */
  #escapedByte(char: string): number {
    const control = CONTROL[char];
    if (control !== undefined) return control;
    if (char === "x") {
      const found = this.skipMatch(/^(?:\{([0-9A-Fa-f]+)\}|[0-9A-Fa-f]{0,2})/, MAX_TOKEN)!;
      return this.#checkByte(Number.parseInt(found[1] ?? (found[0] || "0"), 16));
    }
    if (char === "o") {
      const found = this.skipMatch(/^\{([0-7]+)\}/, MAX_TOKEN);
      if (found === undefined) throw this.invalid("missing digits in \\o{}");
      return this.#checkByte(Number.parseInt(found[1]!, 8));
    }
    if (char === "c") return this.take().toUpperCase().charCodeAt(0) ^ 0x40;
    if (/[0-7]/.test(char)) {
      const more = this.skipMatch(/^[0-7]{0,2}/, 2)![0];
      return this.#checkByte(Number.parseInt(char + more, 8));
    }
    if (/[0-9A-Za-z]/.test(char)) throw this.invalid("unrecognized character follows \\");
    return char.charCodeAt(0);
  }

  #checkByte(value: number): number {
    if (value > 255) throw this.invalid("character code point value is too large");
    return value;
  }

  #literal(byte: number): Pattern {
    return literalByte(byte, this.flags.ignoreCase);
  }

  /** What follows `[`. */
  #set(): ByteSet {
    const negated = this.skip("^");
    let union = bytesWhere(() => false);
    const add = (other: ByteSet) => {
      union = bytesWhere((b) => union[b] === 1 || other[b] === 1);
    };
    if (this.skip("]")) add(bytesWhere((b) => b === 0x5d));
    while (!this.skip("]")) {
      const posix = this.#posixClass();
      const first = posix ?? this.#item();
      const isRange = this.next === "-" && this.text[this.at + 1] !== "]";
      if (!isRange) {
        add(typeof first === "number" ? bytesWhere((b) => b === first) : first);
        continue;
      }
      this.at++;
      const last = this.#posixClass() ?? this.#item();
      if (typeof first !== "number" || typeof last !== "number")
        throw this.invalid("invalid range in character class");
      if (first > last) throw this.invalid("range out of order in character class");
      add(bytesWhere((b) => b >= first && b <= last));
    }
    if (this.flags.ignoreCase) union = withBothCases(union);
    return negated ? complement(union) : union;
  }

  #posixClass(): ByteSet | undefined {
    const found = this.skipMatch(/^\[:(\^?)(\w*):\]/, 32);
    if (found === undefined) return undefined;
    const holds = POSIX_CLASSES.get(found[2]!);
    if (holds === undefined) throw this.invalid("unknown POSIX class name");
    return bytesWhere((b) => holds(b) === (found[1] === ""));
  }

  #item(): number | ByteSet {
    const char = this.take();
    if (char !== "\\") return char.charCodeAt(0);
    const escaped = this.take();
    if (escaped === "b") return 8;
    return this.#classEscape(escaped) ?? this.#escapedByte(escaped);
  }
}

function set(bytes: ByteSet): Pattern {
  return { kind: "set", set: bytes };
}

/** `\R`: CR LF, or one of the bytes that end a line. */
function anyLineEnd(): Pattern {
  const parts = [literalByte(13, false), literalByte(LINE_FEED, false)];
  const either: Pattern = {
    kind: "either",
    parts: [{ kind: "sequence", parts }, set(bytesWhere(isVerticalSpace))],
  };
  return { kind: "atomic", part: either };
}

/**
 * @param text the pattern, as text; its UTF-8 bytes are what counts.
 * @throws CfsError Invalid when it is no pattern in this syntax either.
 */
export function readPerlPattern(text: string): Pattern {
  return new PerlReader(Array.from(fromText(text))).read();
}
