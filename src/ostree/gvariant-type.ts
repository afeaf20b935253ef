import { CfsError } from "../errors.ts";

/** A GVariant type, with what its serialised form follows from. */
export interface GType {
  /** The type string. */
  readonly signature: string;
  /** First character of the type string: `{` is a dict entry. */
  readonly kind: string;
  /** 1, 2, 4 or 8. */
  readonly alignment: number;
  /** Bytes of every value, or 0 when values differ in size. */
  readonly fixedSize: number;
  /** Of a container: its element type, or its members. */
  readonly items: readonly GType[];
}

const BASIC: Readonly<Record<string, number>> = {
  b: 1,
  y: 1,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  h: 4,
  x: 8,
  t: 8,
  d: 8,
};
const MAX_DEPTH = 128;
const MAX_CACHED = 512;
const cache = new Map<string, GType>();

/** @throws CfsError Corrupt when `signature` is not exactly one complete type. */
export function gtype(signature: string): GType {
  const cached = cache.get(signature);
  if (cached !== undefined) return cached;
  const { type, end } = parse(signature, 0, 0);
  if (end !== signature.length) throw invalidType();
  // Type strings come from what is read: they must not fill the memory.
  if (cache.size >= MAX_CACHED) cache.clear();
  cache.set(signature, type);
  return type;
}

function invalidType(): CfsError {
  return new CfsError("Corrupt", "not a GVariant type");
}

interface Parsed {
  readonly type: GType;
  readonly end: number;
}

function parse(text: string, at: number, depth: number): Parsed {
  if (depth > MAX_DEPTH) throw new CfsError("Corrupt", "a GVariant type is nested too deeply");
  const kind = text[at];
  if (kind === undefined) throw invalidType();
  const basic = BASIC[kind];
  if (basic !== undefined) return done(kind, basic, basic, [], at + 1);
  switch (kind) {
    case "s":
    case "o":
    case "g":
      return done(kind, 1, 0, [], at + 1);
    case "v":
      return done(kind, 8, 0, [], at + 1);
    case "a":
    case "m": {
      const { type, end } = parse(text, at + 1, depth + 1);
      return done(text.slice(at, end), type.alignment, 0, [type], end);
    }
    case "(":
    case "{":
      return parseMembers(text, at, depth);
  }
  throw invalidType();
}

function parseMembers(text: string, start: number, depth: number): Parsed {
  const isEntry = text[start] === "{";
  const close = isEntry ? "}" : ")";
  const items: GType[] = [];
  let at = start + 1;
  while (text[at] !== close) {
    const { type, end } = parse(text, at, depth + 1);
    items.push(type);
    at = end;
  }
  if (isEntry && (items.length !== 2 || !"bynqiuhxtdsog".includes(items[0]!.kind))) throw invalidType();
  const alignment = items.reduce((most, item) => Math.max(most, item.alignment), 1);
  return done(text.slice(start, at + 1), alignment, fixedSizeOf(items, alignment), items, at + 1);
}

function fixedSizeOf(items: readonly GType[], alignment: number): number {
  // The tuple without members takes one byte, so that arrays of it can be counted.
  if (items.length === 0) return 1;
  let size = 0;
  for (const item of items) {
    if (item.fixedSize === 0) return 0;
    size = alignUp(size, item.alignment) + item.fixedSize;
  }
  return alignUp(size, alignment);
}

function done(
  signature: string,
  alignment: number,
  fixedSize: number,
  items: readonly GType[],
  end: number,
): Parsed {
  return { type: { signature, kind: signature[0]!, alignment, fixedSize, items }, end };
}

/** @param alignment a power of two. */
export function alignUp(position: number, alignment: number): number {
  return position + (-position & (alignment - 1));
}

/** Bytes of each framing offset of a container with a body of so many bytes and so many offsets. */
export function offsetWidth(bodySize: number, offsets: number): 1 | 2 | 4 | 8 {
  if (bodySize + offsets <= 0xff) return 1;
  if (bodySize + offsets * 2 <= 0xffff) return 2;
  return bodySize + offsets * 4 <= 0xffffffff ? 4 : 8;
}

/** How many members of a tuple or dict entry have a framing offset: those of variable size but the last. */
export function framedMembers({ items }: GType): number {
  return items.reduce((n, item, i) => (item.fixedSize === 0 && i < items.length - 1 ? n + 1 : n), 0);
}
