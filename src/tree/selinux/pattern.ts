/** Which of the 256 bytes are in a set: 1 or 0 each. */
export type ByteSet = Uint8Array<ArrayBuffer>;

/** The syntax tree of a regular expression over bytes. */
export type Pattern =
  | { readonly kind: "set"; readonly set: ByteSet }
  | { readonly kind: "sequence"; readonly parts: readonly Pattern[] }
  | { readonly kind: "either"; readonly parts: readonly Pattern[] }
  | {
      readonly kind: "repeat";
      readonly part: Pattern;
      readonly min: number;
      /** May be Infinity. */
      readonly max: number;
      /** A possessive repetition gives nothing back once it has matched. */
      readonly possessive: boolean;
    }
  | { readonly kind: "group"; readonly part: Pattern; readonly index: number }
  | { readonly kind: "assertion"; readonly holds: Assertion }
  | {
      readonly kind: "look";
      readonly part: Pattern;
      readonly behind: boolean;
      readonly negative: boolean;
    }
  | { readonly kind: "atomic"; readonly part: Pattern }
  /** Matches what a group has matched. */
  | { readonly kind: "reference"; readonly index: number; readonly ignoreCase: boolean };

/** Whether a place in a subject is of a kind: `before` and `after` are its bytes, -1 where it ends. */
export type Assertion = (before: number, after: number) => boolean;

export const NOTHING: Pattern = { kind: "sequence", parts: [] };

/** The set of bytes for which `holds` is true. */
export function bytesWhere(holds: (byte: number) => boolean): ByteSet {
  return Uint8Array.from({ length: 256 }, (_, byte) => (holds(byte) ? 1 : 0));
}

/** Patterns are mostly literal bytes: there is one set for each. */
const SINGLE: readonly Pattern[] = Array.from({ length: 256 }, (_, byte) => ({
  kind: "set",
  set: bytesWhere((b) => b === byte),
}));

export function literalByte(byte: number, ignoreCase: boolean): Pattern {
  const other = ignoreCase ? otherCase(byte) : byte;
  return other === byte ? SINGLE[byte]! : { kind: "set", set: bytesWhere((b) => b === byte || b === other) };
}

/** The ASCII letter of the other case; any other byte as it is. */
export function otherCase(byte: number): number {
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x7a ? byte ^ 0x20 : byte;
}

export function complement(set: ByteSet): ByteSet {
  return set.map((isIn) => 1 - isIn);
}

export function sequence(parts: readonly Pattern[]): Pattern {
  return parts.length === 1 ? parts[0]! : { kind: "sequence", parts };
}

/** Whether a pattern needs neither memory nor a look around: an automaton can match it. */
export function isRegular(pattern: Pattern): boolean {
  switch (pattern.kind) {
    case "set":
      return true;
    case "sequence":
    case "either":
      return pattern.parts.every(isRegular);
    case "repeat":
      return !pattern.possessive && isRegular(pattern.part);
    case "group":
      return isRegular(pattern.part);
    default:
      return false;
  }
}
