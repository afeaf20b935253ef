import { CfsError } from "../../errors.ts";
import { NOTHING, type Pattern, sequence } from "./pattern.ts";

/** Both engines whose syntax is read here stop at this depth. */
const MAX_DEPTH = 250;
const MAX_REPEAT = 1_000_000;
/** Characters of a pattern in messages. */
const MAX_SHOWN = 500;

/** Flags that `(?i)` and the like set, until the end of the group. */
export interface Flags {
  ignoreCase: boolean;
  /** `.` matches a line feed too. */
  dotAll: boolean;
  /** `^` and `$` hold at every line feed. */
  multiLine: boolean;
}

export const NO_FLAGS: Flags = { ignoreCase: false, dotAll: false, multiLine: false };

/** A group that has been opened: how to close it. */
export interface OpenGroup {
  /** Undefined: no group at all, but flags for what follows. */
  readonly close: ((part: Pattern) => Pattern) | undefined;
  readonly flags?: Flags;
}

/**
 * What the two syntaxes have in common: alternatives, sequences, repetitions and groups. Subclasses read the rest.
 * Errors of syntax are CfsErrors of kind Invalid; what is valid but not supported is of kind Unsupported.
 */
export abstract class PatternReader {
  protected readonly text: readonly string[];
  protected at = 0;
  protected groups = 0;
  protected flags: Flags = NO_FLAGS;
  #depth = 0;

  /** @param text one string a character. */
  constructor(text: readonly string[]) {
    this.text = text;
  }

  read(): Pattern {
    const pattern = this.#alternatives();
    if (this.at < this.text.length) throw this.invalid("unmatched closing parenthesis");
    return pattern;
  }

  protected abstract atom(): Pattern;
  protected abstract openGroup(): OpenGroup;
  /** Whether another repetition may follow a repetition. */
  protected abstract readonly repeatsNest: boolean;
  /** `{n,m}` at the cursor, which is moved behind it; undefined when it is an ordinary character. */
  protected abstract counts(): { min: number; max: number } | undefined;

  protected get next(): string | undefined {
    return this.text[this.at];
  }

  protected take(): string {
    const char = this.text[this.at];
    if (char === undefined) throw this.invalid("ends unexpectedly");
    this.at++;
    return char;
  }

  protected skip(text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.text[this.at + i] !== text[i]) return false;
    this.at += text.length;
    return true;
  }

  /** What the cursor stands before, if it matches; the cursor is moved behind it. */
  protected skipMatch(pattern: RegExp, longest: number): RegExpExecArray | undefined {
    const found = pattern.exec(this.text.slice(this.at, this.at + longest).join(""));
    if (found === null) return undefined;
    this.at += found[0].length;
    return found;
  }

  protected invalid(why: string): CfsError {
    return new CfsError("Invalid", `regular expression ${this.#shown()}: at ${this.at}: ${why}`);
  }

  protected unsupported(what: string): CfsError {
    return new CfsError("Unsupported", `regular expression ${this.#shown()}: ${what} is not supported here`);
  }

  #shown(): string {
    const { text } = this;
    return text.length <= MAX_SHOWN ? text.join("") : `${text.slice(0, MAX_SHOWN).join("")}…`;
  }

  #alternatives(): Pattern {
    const parts = [this.#sequence()];
    while (this.skip("|")) parts.push(this.#sequence());
    return parts.length === 1 ? parts[0]! : { kind: "either", parts };
  }

  #sequence(): Pattern {
    const parts: Pattern[] = [];
    /** Whether the last part can be repeated, and whether it is a repetition itself. */
    let last: "none" | "part" | "repeat" = "none";
    for (;;) {
      const { next } = this;
      if (next === undefined || next === "|" || next === ")") break;
      const range = this.#repetition();
      if (range !== undefined) {
        if (last === "none" || (last === "repeat" && !this.repeatsNest))
          throw this.invalid("there is nothing to repeat");
        const possessive = !this.skip("?") && !this.repeatsNest && this.skip("+");
        parts.push({ kind: "repeat", part: parts.pop()!, ...range, possessive });
        last = "repeat";
      } else if (this.skip("(")) {
        const group = this.#group();
        if (group !== undefined) parts.push(group);
        last = group === undefined ? "none" : "part";
      } else {
        parts.push(this.atom());
        last = "part";
      }
    }
    return parts.length === 0 ? NOTHING : sequence(parts);
  }

  #repetition(): { min: number; max: number } | undefined {
    if (this.skip("*")) return { min: 0, max: Infinity };
    if (this.skip("+")) return { min: 1, max: Infinity };
    if (this.skip("?")) return { min: 0, max: 1 };
    const counts = this.next === "{" ? this.counts() : undefined;
    if (counts === undefined) return undefined;
    if (counts.min > counts.max) throw this.invalid("numbers out of order in {} quantifier");
    if (counts.min > MAX_REPEAT || (counts.max !== Infinity && counts.max > MAX_REPEAT))
      throw this.invalid("number too big in {} quantifier");
    return counts;
  }

  #group(): Pattern | undefined {
    const outer = this.flags;
    if (++this.#depth > MAX_DEPTH) throw this.invalid("parentheses are too deeply nested");
    const { close, flags } = this.openGroup();
    if (flags !== undefined) this.flags = flags;
    if (close === undefined) {
      this.#depth--;
      return undefined;
    }
    const part = this.#alternatives();
    if (!this.skip(")")) throw this.invalid("missing closing parenthesis");
    this.flags = outer;
    this.#depth--;
    return close(part);
  }
}
