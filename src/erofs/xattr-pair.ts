import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import {
  type FormatVersion,
  MAX_XATTR_SUFFIX,
  MAX_XATTR_VALUE,
  METACOPY,
  REDIRECT,
  roundUp,
  XATTR_ENTRY_SIZE,
  XATTR_FILTER_SEED,
  XATTR_INDEX_LUSTRE,
  XATTR_PREFIXES,
} from "./format.ts";
import { xxh32 } from "./xxh32.ts";

/** A name as it stands in an image, with all pairs that have it. */
export class XattrName {
  readonly full: ByteString;
  readonly index: number;
  readonly suffix: ByteString;
  /** Bit of the name filter that it sets. */
  readonly filterBit: number;
  readonly #pairs = new Map<ByteString, XattrPair>();

  /** @throws CfsError Invalid when it is too long. */
  constructor(full: ByteString, version: FormatVersion) {
    let index = XATTR_PREFIXES.length - 1;
    while (!full.startsWith(XATTR_PREFIXES[index]!) || (index === XATTR_INDEX_LUSTRE && version !== 2))
      index--;
    this.full = full;
    this.index = index;
    this.suffix = full.slice(XATTR_PREFIXES[index]!.length);
    this.filterBit = 1 << (xxh32(this.suffix, XATTR_FILTER_SEED + index) & 31);
    if (this.suffix.length > MAX_XATTR_SUFFIX) {
      throw new CfsError("Invalid", `xattr name of ${full.length} bytes does not fit an EROFS image`);
    }
  }

  /** The one pair of this name and a value. */
  pair(value: ByteString): XattrPair {
    let pair = this.#pairs.get(value);
    if (pair === undefined) {
      pair = new XattrPair(this, value);
      this.#pairs.set(value, pair);
    }
    return pair;
  }

  pairs(): Iterable<XattrPair> {
    return this.#pairs.values();
  }
}

/** One (name, value). Pairs that come from `XattrName.pair` are the same where they are equal. */
export class XattrPair {
  readonly name: XattrName;
  readonly value: ByteString;
  readonly entrySize: number;
  uses = 0;
  /** What inodes write to refer to it: a 4-byte word number; -1 when every use is local. */
  reference = -1;

  /** @throws CfsError Invalid when the value is too long. */
  constructor(name: XattrName, value: ByteString) {
    this.name = name;
    this.value = value;
    this.entrySize = roundUp(XATTR_ENTRY_SIZE + name.suffix.length + value.length, 4);
    if (value.length > MAX_XATTR_VALUE) {
      throw new CfsError("Invalid", `xattr value of ${value.length} bytes does not fit an EROFS image`);
    }
  }

  /** Writes the entry at `at`, which is a multiple of 4. */
  write(out: Buffer, words: Uint32Array, at: number): void {
    const { index, suffix } = this.name;
    words[at >> 2] = suffix.length | (index << 8) | (this.value.length << 16);
    out.latin1Write(suffix, at + XATTR_ENTRY_SIZE);
    out.latin1Write(this.value, at + XATTR_ENTRY_SIZE + suffix.length);
  }
}

/** The own xattrs of one or more inodes, in the order in which they are written. */
export class XattrSet {
  readonly pairs: readonly XattrPair[];
  /** How many pairs come before the generated metacopy and redirect. */
  readonly beforeMetacopy: number;
  readonly beforeRedirect: number;
  uses = 0;
  sharedCount = 0;
  localSize = 0;
  filterBits = 0;

  constructor(pairs: readonly XattrPair[], version: FormatVersion) {
    this.pairs = pairs;
    this.beforeMetacopy = version === 2 ? 0 : pairs.filter((p) => p.name.full < METACOPY).length;
    this.beforeRedirect = version === 2 ? 0 : pairs.filter((p) => p.name.full < REDIRECT).length;
  }

  measure(): void {
    for (const pair of this.pairs) {
      if (pair.reference >= 0) this.sharedCount++;
      else this.localSize += pair.entrySize;
      this.filterBits |= pair.name.filterBit;
    }
  }
}

/** By the whole name, the value's length and the value. */
export function compareFullNames(a: XattrPair, b: XattrPair): number {
  if (a.name !== b.name) return a.name.full < b.name.full ? -1 : 1;
  if (a.value.length !== b.value.length) return a.value.length - b.value.length;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/** By the name as it is written, and the value. */
export function compareIndexed(a: XattrPair, b: XattrPair): number {
  if (a.name.index !== b.name.index) return a.name.index - b.name.index;
  if (a.name !== b.name) return a.name.suffix < b.name.suffix ? -1 : 1;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}
