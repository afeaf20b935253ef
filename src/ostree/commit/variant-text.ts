import { CfsError } from "../../errors.ts";
import { type Value, Variant } from "../gvariant.ts";
import { type GType, gtype } from "../gvariant-type.ts";
import { type Expression, parseExpression } from "./variant-text-parser.ts";

/**
 * A value in the text format of GVariant, as `g_variant_parse` of GLib reads it without being told a type:
 * `'text'`, `true`, `uint32 5`, `['a', 'b']`, `{'key': <1>}`, `@as []`. Whole numbers without a type are `i`.
 * @throws CfsError Invalid
 */
export function parseVariantText(text: string): Variant {
  const expression = parseExpression(text);
  const type = settled(patternOf(expression));
  return new Variant(type.signature, typedValue(expression, type));
}

/** What is known of a type before all of it is known. */
type Pattern =
  /** Of an empty array, or of a maybe that is nothing. */
  | { readonly kind: "unknown" }
  /** Any type of numbers, and which one when nothing else decides. */
  | { readonly kind: "number"; readonly fallback: "i" | "d" }
  | { readonly kind: "text" }
  | { readonly kind: "known"; readonly type: GType }
  | { readonly kind: "a" | "m"; readonly items: readonly [Pattern] }
  | { readonly kind: "(" | "{"; readonly items: readonly Pattern[] };

const UNKNOWN: Pattern = { kind: "unknown" };
const NUMBERS = "ynqiuxthd";
const TEXTS = "sog";

function known(signature: string): Pattern {
  return { kind: "known", type: gtype(signature) };
}

function patternOf(expression: Expression): Pattern {
  switch (expression.kind) {
    case "number":
      return { kind: "number", fallback: isFraction(expression.text) ? "d" : "i" };
    case "text":
      return { kind: "text" };
    case "bytes":
      return known("ay");
    case "boolean":
      return known("b");
    case "variant":
      return known("v");
    case "typed":
      return { kind: "known", type: expression.type };
    case "nothing":
      return { kind: "m", items: [UNKNOWN] };
    case "just":
      return { kind: "m", items: [patternOf(expression.item)] };
    case "array":
      return { kind: "a", items: [common(expression.items)] };
    case "dictionary": {
      const keys = common(expression.entries.map(([key]) => key));
      const values = common(expression.entries.map(([, value]) => value));
      return { kind: "a", items: [{ kind: "{", items: [keys, values] }] };
    }
    case "entry":
      return { kind: "{", items: expression.items.map(patternOf) };
    case "tuple":
      return { kind: "(", items: expression.items.map(patternOf) };
  }
}

function common(items: readonly Expression[]): Pattern {
  return items.map(patternOf).reduce(both, UNKNOWN);
}

/** What fits two patterns. */
function both(a: Pattern, b: Pattern): Pattern {
  if (a.kind === "unknown") return b;
  if (b.kind === "unknown") return a;
  if (a.kind === "known" && b.kind === "known") {
    if (a.type.signature === b.type.signature) return a;
    throw different();
  }
  if (a.kind === "known") return both(b, a);
  if (b.kind === "known") {
    const { kind, items } = b.type;
    if (a.kind === "number" && NUMBERS.includes(kind)) return b;
    if (a.kind === "text" && TEXTS.includes(kind)) return b;
    if (!("items" in a) || a.kind !== kind || a.items.length !== items.length) throw different();
    for (const [i, item] of a.items.entries()) both(item, { kind: "known", type: items[i]! });
    return b;
  }
  if (a.kind === "number" && b.kind === "number") return a.fallback === "d" ? a : b;
  if (a.kind === "text" && b.kind === "text") return a;
  if (!("items" in a) || !("items" in b) || a.kind !== b.kind || a.items.length !== b.items.length)
    throw different();
  const items = a.items.map((item, i) => both(item, b.items[i]!));
  return { kind: a.kind, items } as Pattern;
}

function different(): CfsError {
  return new CfsError("Invalid", "the elements of an array are of different types");
}

function settled(pattern: Pattern): GType {
  return gtype(signatureOf(pattern));
}

function signatureOf(pattern: Pattern): string {
  switch (pattern.kind) {
    case "known":
      return pattern.type.signature;
    case "number":
      return pattern.fallback;
    case "text":
      return "s";
    case "unknown":
      throw new CfsError("Invalid", "the type of an empty value is unknown", {
        hint: "say the type: `@as []`",
      });
    case "a":
    case "m":
      return pattern.kind + signatureOf(pattern.items[0]);
    case "(":
      return `(${pattern.items.map(signatureOf).join("")})`;
    case "{":
      return `{${pattern.items.map(signatureOf).join("")}}`;
  }
}

/** Least and greatest value of whole numbers. */
const RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  y: [0n, 0xffn],
  n: [-0x8000n, 0x7fffn],
  q: [0n, 0xffffn],
  i: [-0x8000_0000n, 0x7fff_ffffn],
  h: [-0x8000_0000n, 0x7fff_ffffn],
  u: [0n, 0xffff_ffffn],
  x: [-(2n ** 63n), 2n ** 63n - 1n],
  t: [0n, 2n ** 64n - 1n],
};

function typedValue(expression: Expression, type: GType): Value {
  const items = type.items;
  switch (expression.kind) {
    case "typed":
      if (expression.type.signature === type.signature) return typedValue(expression.item, type);
      break;
    case "number":
      if (NUMBERS.includes(type.kind)) return numberValue(expression.text, type.kind);
      break;
    case "text":
      if (TEXTS.includes(type.kind)) return textValue(expression.text, type.kind);
      break;
    case "bytes":
      if (type.signature === "ay") return expression.bytes;
      break;
    case "boolean":
      if (type.kind === "b") return expression.value;
      break;
    case "variant":
      if (type.kind === "v") {
        const inner = settled(patternOf(expression.item));
        return new Variant(inner.signature, typedValue(expression.item, inner));
      }
      break;
    case "nothing":
      if (type.kind === "m") return null;
      break;
    case "just":
      if (type.kind === "m") return typedValue(expression.item, items[0]!);
      break;
    case "array":
      if (type.kind === "a") return expression.items.map((item) => typedValue(item, items[0]!));
      break;
    case "dictionary":
      if (type.kind === "a" && items[0]!.kind === "{") {
        const [key, value] = items[0]!.items as [GType, GType];
        return expression.entries.map(([k, v]) => [typedValue(k, key), typedValue(v, value)]);
      }
      break;
    case "entry":
    case "tuple":
      if (type.kind === (expression.kind === "tuple" ? "(" : "{") && items.length === expression.items.length)
        return expression.items.map((item, i) => typedValue(item, items[i]!));
      break;
  }
  throw new CfsError("Invalid", `a value is not of type '${type.signature}'`);
}

function isFraction(text: string): boolean {
  return !/^[+-]?0x/i.test(text) && /[.e]|inf|nan/i.test(text);
}

function numberValue(text: string, kind: string): Value {
  if (kind === "d") {
    const value = isFraction(text) ? fraction(text) : Number(wholeNumber(text));
    return value;
  }
  const value = wholeNumber(text);
  const [least, greatest] = RANGES[kind]!;
  if (value < least || value > greatest)
    throw new CfsError("Invalid", `${text} is no number of type '${kind}'`);
  return kind === "x" || kind === "t" ? value : Number(value);
}

function fraction(text: string): number {
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (special === null) {
    const value = Number(text);
    if (Number.isNaN(value)) throw new CfsError("Invalid", `'${text}' is no number`);
    return value;
  }
  const value = special[2]!.toLowerCase() === "nan" ? Number.NaN : Number.POSITIVE_INFINITY;
  return special[1] === "-" ? -value : value;
}

/** Decimal, `0x` and hexadecimal, or `0` and octal digits. */
function wholeNumber(text: string): bigint {
  const parts = /^([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i.exec(text);
  if (parts === null) throw new CfsError("Invalid", `'${text}' is no whole number`);
  const digits = parts[2]!;
  const value = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return parts[1] === "-" ? -value : value;
}

function textValue(text: string, kind: string): string {
  if (text.includes("\0")) throw new CfsError("Invalid", "a text can't hold a NUL character");
  if (kind === "o" && !/^\/$|^(\/[A-Za-z0-9_]+)+$/.test(text))
    throw new CfsError("Invalid", `'${text}' is no object path`);
  if (kind === "g") {
    for (let rest = text; rest !== ""; ) rest = rest.slice(typeLength(rest));
  }
  return text;
}

/** Length of the complete type that a text begins with. @throws CfsError Invalid */
export function typeLength(text: string): number {
  const kind = text[0] ?? "";
  if (kind === "a" || kind === "m") return 1 + typeLength(text.slice(1));
  if (kind === "(" || kind === "{") {
    const close = kind === "(" ? ")" : "}";
    let at = 1;
    while (text[at] !== close) at += typeLength(text.slice(at));
    return at + 1;
  }
  if (kind !== "" && "bynqiuhxtdsogv".includes(kind)) return 1;
  throw new CfsError("Invalid", "not a GVariant type");
}
