import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { NO_XATTRS, type Xattrs } from "../tree/model.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import {
  type FormatVersion,
  MAX_SHARED_XATTRS,
  MAX_XATTR_COUNT_WORDS,
  MAX_XATTR_SUFFIX,
  MAX_XATTR_VALUE,
  METACOPY,
  METACOPY_HEADER_SIZE,
  OVERLAY_ESCAPE_PREFIX,
  OVERLAY_PREFIX,
  REDIRECT,
  roundUp,
  XATTR_ENTRY_SIZE,
  XATTR_FILTER_SEED,
  XATTR_HEADER_SIZE,
  XATTR_INDEX_ACL_ACCESS,
  XATTR_INDEX_ACL_DEFAULT,
  XATTR_INDEX_LUSTRE,
  XATTR_PREFIXES,
} from "./format.ts";
import { hashStart, IndexTable } from "./index-table.ts";
import { xxh32 } from "./xxh32.ts";

/** One (name, value) as it stands in an image. There is one object for equal pairs. */
export class XattrPair {
  readonly name: ByteString;
  readonly value: ByteString;
  readonly index: number;
  readonly suffix: ByteString;
  /** Bit of the name filter that the name sets. */
  readonly filterBit: number;
  readonly entrySize: number;
  uses = 0;
  /** What inodes write to refer to it: a 4-byte word number; -1 when every use is local. */
  reference = -1;

  constructor(name: ByteString, value: ByteString, version: FormatVersion) {
    let index = XATTR_PREFIXES.length - 1;
    while (!name.startsWith(XATTR_PREFIXES[index]!) || (index === XATTR_INDEX_LUSTRE && version !== 2))
      index--;
    this.name = name;
    this.value = value;
    this.index = index;
    this.suffix = name.slice(XATTR_PREFIXES[index]!.length);
    this.filterBit = 1 << (xxh32(this.suffix, XATTR_FILTER_SEED + index) & 31);
    this.entrySize = roundUp(XATTR_ENTRY_SIZE + this.suffix.length + value.length, 4);
    if (this.suffix.length > MAX_XATTR_SUFFIX) {
      throw new CfsError("Invalid", `xattr name of ${name.length} bytes does not fit an EROFS image`);
    }
    if (value.length > MAX_XATTR_VALUE) {
      throw new CfsError("Invalid", `xattr value of ${value.length} bytes does not fit an EROFS image`);
    }
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
    this.beforeMetacopy = version === 2 ? 0 : pairs.filter((p) => p.name < METACOPY).length;
    this.beforeRedirect = version === 2 ? 0 : pairs.filter((p) => p.name < REDIRECT).length;
  }

  measure(): void {
    for (const pair of this.pairs) {
      if (pair.reference >= 0) this.sharedCount++;
      else this.localSize += pair.entrySize;
      this.filterBits |= pair.filterBit;
    }
  }
}

/** What the files of one object refer to instead of having it themselves. */
interface SharedEntries {
  readonly metacopy: XattrPair | undefined;
  readonly redirect: XattrPair | undefined;
}

/** In place of a set or an object: an inode has none. */
export const NONE = -1;

const NOTHING_SHARED: SharedEntries = { metacopy: undefined, redirect: undefined };

function compareFullNames(a: XattrPair, b: XattrPair): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  if (a.value.length !== b.value.length) return a.value.length - b.value.length;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

function compareIndexed(a: XattrPair, b: XattrPair): number {
  if (a.index !== b.index) return a.index - b.index;
  if (a.suffix !== b.suffix) return a.suffix < b.suffix ? -1 : 1;
  return a.value < b.value ? -1 : a.value > b.value ? 1 : 0;
}

/**
 * All xattrs of an image: collects what inodes have, decides what is shared, and writes both kinds. Sets and objects
 * have numbers, which is all that an inode needs to keep.
 * Use: `use…` for every inode, then `finish`, `sizeOf` for every inode, `place`, and `write`.
 */
export class XattrTable {
  /** Entries of the shared table in their order; set by `finish`. */
  shared: XattrPair[] = [];
  readonly #version: FormatVersion;
  readonly #algorithm: Algorithm;
  readonly #pairs = new Map<ByteString, Map<ByteString, XattrPair>>();
  readonly #sets: XattrSet[] = [];
  readonly #setsByMap = new Map<Xattrs, number>();
  readonly #setsByContent = new Map<string, number>();
  readonly #pairNumbers = new Map<XattrPair, number>();
  /** By object: most files have one of their own, so there are no more than a string and 4 bytes for each. */
  readonly #objectIds: ObjectId[];
  #objectCount = 0;
  readonly #objects: IndexTable<ObjectId>;
  readonly #objectUses: Int32Array;
  /** Redirects that files without enforced digest give to an object. */
  readonly #plainRedirects = new Map<number, XattrPair>();
  /** Set by `finish`, for the few objects that share something. */
  readonly #sharedEntries = new Map<number, SharedEntries>();
  readonly #metacopySize: number;
  readonly #redirectSize: number;
  readonly #objectFilterBits: number;
  readonly #metacopyTemplate: string;
  readonly #redirectTemplate: string;
  /** Header, metacopy and redirect of a file that has nothing else; only the digest is missing. */
  readonly #objectTemplate: string;

  /** @param references bound for the calls of `useObject` and `plainObjectPairs`. */
  constructor(version: FormatVersion, algorithm: Algorithm, references: number) {
    this.#version = version;
    this.#algorithm = algorithm;
    this.#objectIds = new Array(references);
    this.#objects = new IndexTable(this.#objectIds, references);
    this.#objectUses = new Int32Array(references);
    const metacopy = new XattrPair(METACOPY, "\0".repeat(METACOPY_HEADER_SIZE + algorithm.size), version);
    const redirect = new XattrPair(REDIRECT, "\0".repeat(2 + 2 * algorithm.size), version);
    this.#metacopySize = metacopy.entrySize;
    this.#redirectSize = redirect.entrySize;
    this.#objectFilterBits = metacopy.filterBit | redirect.filterBit;
    this.#metacopyTemplate = entryTemplate(metacopy, metacopyHeader(algorithm));
    this.#redirectTemplate = entryTemplate(redirect, "/");
    const filter = ~this.#objectFilterBits;
    this.#objectTemplate =
      String.fromCharCode(filter & 255, (filter >>> 8) & 255, (filter >>> 16) & 255, filter >>> 24) +
      "\0".repeat(XATTR_HEADER_SIZE - 4) +
      this.#metacopyTemplate +
      this.#redirectTemplate;
  }

  /** The set for a node's own xattrs; counts one use. NONE when there are no xattrs. */
  useSet(xattrs: Xattrs): number {
    if (xattrs === NO_XATTRS || xattrs.size === 0) return NONE;
    let set = this.#setsByMap.get(xattrs);
    if (set === undefined) {
      set = this.#intern(this.#escape(xattrs));
      this.#setsByMap.set(xattrs, set);
    }
    this.#sets[set]!.uses++;
    return set;
  }

  /**
   * The same with pairs that the format adds.
   * @param before pairs that version 2 writes before the node's own; versions 0 and 1 sort all.
   */
  useSetWith(
    xattrs: Xattrs,
    before: readonly (readonly [ByteString, ByteString])[],
    after: readonly (readonly [ByteString, ByteString])[],
  ): number {
    const pairs = before.map(([name, value]) => this.#pair(name, value));
    pairs.push(...this.#escape(xattrs));
    for (const [name, value] of after) pairs.push(this.#pair(name, value));
    const set = this.#intern(pairs);
    this.#sets[set]!.uses++;
    return set;
  }

  /** Counts a file whose data is an object with an enforced digest. */
  useObject(id: ObjectId): number {
    const object = this.#object(id);
    this.#objectUses[object]!++;
    return object;
  }

  /** Pairs that mark a file whose data is an object with a digest that is not enforced. */
  plainObjectPairs(id: ObjectId): (readonly [ByteString, ByteString])[] {
    const value = redirectValue(id);
    this.#plainRedirects.set(this.#object(id), this.#pair(REDIRECT, value));
    return [
      [METACOPY, ""],
      [REDIRECT, value],
    ];
  }

  /** Whether a POSIX ACL is among them; V0 and V1 say so in the header. */
  hasAcl(): boolean {
    for (const byValue of this.#pairs.values()) {
      for (const { index } of byValue.values()) {
        if (index === XATTR_INDEX_ACL_ACCESS || index === XATTR_INDEX_ACL_DEFAULT) return true;
      }
    }
    return false;
  }

  /**
   * Decides which pairs are shared. References are relative to the start of the shared table until `place`.
   * @returns the size of the shared table in bytes.
   */
  finish(): number {
    for (const set of this.#sets) for (const pair of set.pairs) pair.uses += set.uses;
    const shared: XattrPair[] = [];
    for (let object = 0; object < this.#objectCount; object++) this.#shareObject(object);
    for (const byValue of this.#pairs.values()) {
      for (const pair of byValue.values()) if (pair.uses > 1) shared.push(pair);
    }
    shared.sort(this.#version === 2 ? compareIndexed : (a, b) => compareFullNames(b, a));
    let size = 0;
    for (const pair of shared) {
      pair.reference = size / 4;
      size += pair.entrySize;
    }
    this.shared = shared;
    for (const set of this.#sets) set.measure();
    return size;
  }

  /** Tells where the shared table lies, in 4-byte words from where references count. */
  place(words: number): void {
    for (const pair of this.shared) pair.reference += words;
  }

  /** Bytes of an inode's xattr area. */
  sizeOf(set: number, object: number): number {
    if (object === NONE && set === NONE) return 0;
    let shared = 0;
    let local = 0;
    if (object !== NONE) {
      const { metacopy, redirect } = this.#sharedOf(object);
      if (metacopy === undefined) local += this.#metacopySize;
      else shared++;
      if (redirect === undefined) local += this.#redirectSize;
      else shared++;
    }
    if (set !== NONE) {
      shared += this.#sets[set]!.sharedCount;
      local += this.#sets[set]!.localSize;
    }
    if (shared > MAX_SHARED_XATTRS) {
      throw new CfsError(
        "Invalid",
        `${shared} xattrs of one file are shared with others; an EROFS image holds at most ${MAX_SHARED_XATTRS}`,
      );
    }
    const size = XATTR_HEADER_SIZE + 4 * shared + local;
    if ((size - XATTR_HEADER_SIZE) / 4 + 1 > MAX_XATTR_COUNT_WORDS) {
      throw new CfsError("Invalid", `xattrs of one file take ${size} bytes, more than an EROFS image holds`);
    }
    return size;
  }

  /** Writes an inode's xattr area at `at`, which is a multiple of 4. */
  write(out: Buffer, words: Uint32Array, at: number, setNumber: number, object: number): void {
    const { metacopy, redirect } = object === NONE ? NOTHING_SHARED : this.#sharedOf(object);
    if (setNumber === NONE) {
      if (object === NONE) return;
      if (metacopy === undefined && redirect === undefined) {
        // Most files of an image end here: two strings and a digest, nothing to decide.
        out.latin1Write(this.#objectTemplate, at);
        this.#fillMetacopy(out, at + XATTR_HEADER_SIZE, object);
        this.#fillRedirect(out, at + XATTR_HEADER_SIZE + this.#metacopySize, object);
        return;
      }
    }
    const set = this.#sets[setNumber];
    let filter = object === NONE ? 0 : this.#objectFilterBits;
    let shared = 0;
    if (set !== undefined) {
      filter |= set.filterBits;
      shared += set.sharedCount;
    }
    if (metacopy !== undefined) shared++;
    if (redirect !== undefined) shared++;
    words[at >> 2] = ~filter;
    words[(at >> 2) + 1] = shared;
    let reference = (at + XATTR_HEADER_SIZE) >> 2;
    let local = at + XATTR_HEADER_SIZE + 4 * shared;
    const pairs = set === undefined ? NO_PAIRS : set.pairs;
    const metacopyAt = object === NONE ? -1 : set === undefined ? 0 : set.beforeMetacopy;
    const redirectAt = object === NONE ? -1 : set === undefined ? 0 : set.beforeRedirect;
    for (let i = 0; i <= pairs.length; i++) {
      if (i === metacopyAt) {
        if (metacopy !== undefined) {
          words[reference++] = metacopy.reference;
        } else {
          out.latin1Write(this.#metacopyTemplate, local);
          this.#fillMetacopy(out, local, object);
          local += this.#metacopySize;
        }
      }
      if (i === redirectAt) {
        if (redirect !== undefined) {
          words[reference++] = redirect.reference;
        } else {
          out.latin1Write(this.#redirectTemplate, local);
          this.#fillRedirect(out, local, object);
          local += this.#redirectSize;
        }
      }
      if (i === pairs.length) break;
      const pair = pairs[i]!;
      if (pair.reference >= 0) {
        words[reference++] = pair.reference;
      } else {
        writeEntry(out, words, local, pair);
        local += pair.entrySize;
      }
    }
  }

  /** Writes the shared table. */
  writeShared(out: Buffer, words: Uint32Array, at: number): void {
    let next = at;
    for (const pair of this.shared) {
      writeEntry(out, words, next, pair);
      next += pair.entrySize;
    }
  }

  #fillMetacopy(out: Buffer, entry: number, object: number): void {
    out.hexWrite(
      this.#objectIds[object]!,
      entry + XATTR_ENTRY_SIZE + METACOPY_SUFFIX_LENGTH + METACOPY_HEADER_SIZE,
    );
  }

  /** `/xx/rest`, where the template has put the first slash. */
  #fillRedirect(out: Buffer, entry: number, object: number): void {
    const value = entry + XATTR_ENTRY_SIZE + REDIRECT_SUFFIX_LENGTH;
    out.latin1Write(this.#objectIds[object]!, value + 2);
    out[value + 1] = out[value + 2]!;
    out[value + 2] = out[value + 3]!;
    out[value + 3] = SLASH;
  }

  #object(id: ObjectId): number {
    const next = this.#objectCount;
    const object = this.#objects.indexOf(id, hashStart(id, 8), next);
    if (object === next) this.#objectIds[this.#objectCount++] = id;
    return object;
  }

  #shareObject(object: number): void {
    const uses = this.#objectUses[object]!;
    const redirects = uses + (this.#plainRedirects.get(object)?.uses ?? 0);
    if (uses === 0 || redirects === 1) return;
    const id = this.#objectIds[object]!;
    let metacopy: XattrPair | undefined;
    if (uses > 1) {
      metacopy = this.#pair(METACOPY, metacopyHeader(this.#algorithm) + digestBytes(id));
      metacopy.uses = uses;
    }
    const redirect = this.#pair(REDIRECT, redirectValue(id));
    redirect.uses = redirects;
    this.#sharedEntries.set(object, { metacopy, redirect });
  }

  #sharedOf(object: number): SharedEntries {
    return this.#sharedEntries.get(object) ?? NOTHING_SHARED;
  }

  #pair(name: ByteString, value: ByteString): XattrPair {
    let byValue = this.#pairs.get(name);
    if (byValue === undefined) {
      byValue = new Map();
      this.#pairs.set(name, byValue);
    }
    let pair = byValue.get(value);
    if (pair === undefined) {
      pair = new XattrPair(name, value, this.#version);
      byValue.set(value, pair);
    }
    return pair;
  }

  /** A node's own xattrs in name order, with names that overlayfs would take for its own escaped. */
  #escape(xattrs: Xattrs): XattrPair[] {
    const names = Array.from(xattrs.keys());
    if (names.length > 1) names.sort();
    return names.map((name) =>
      this.#pair(
        name.startsWith(OVERLAY_PREFIX) ? OVERLAY_ESCAPE_PREFIX + name.slice(OVERLAY_PREFIX.length) : name,
        xattrs.get(name)!,
      ),
    );
  }

  #intern(pairs: XattrPair[]): number {
    if (this.#version !== 2) pairs.sort(compareFullNames);
    let key = "";
    for (const pair of pairs) {
      let number = this.#pairNumbers.get(pair);
      if (number === undefined) {
        number = this.#pairNumbers.size;
        this.#pairNumbers.set(pair, number);
      }
      key += `${number},`;
    }
    let set = this.#setsByContent.get(key);
    if (set === undefined) {
      set = this.#sets.length;
      this.#sets.push(new XattrSet(pairs, this.#version));
      this.#setsByContent.set(key, set);
    }
    return set;
  }
}

const SLASH = 0x2f;
const METACOPY_SUFFIX_LENGTH = "overlay.metacopy".length;
const REDIRECT_SUFFIX_LENGTH = "overlay.redirect".length;
const NO_PAIRS: readonly XattrPair[] = [];

function metacopyHeader(algorithm: Algorithm): ByteString {
  return String.fromCharCode(0, METACOPY_HEADER_SIZE + algorithm.size, 0, algorithm.kernelId);
}

function redirectValue(id: ObjectId): ByteString {
  return `/${id.slice(0, 2)}/${id.slice(2)}`;
}

function digestBytes(id: ObjectId): ByteString {
  return Buffer.from(id, "hex").latin1Slice();
}

/** The bytes of a local entry with a value that starts with `start` and is zero beyond. */
function entryTemplate(pair: XattrPair, start: ByteString): string {
  const length = pair.value.length;
  const head = String.fromCharCode(pair.suffix.length, pair.index, length & 255, length >> 8);
  return (head + pair.suffix + start).padEnd(pair.entrySize, "\0");
}

function writeEntry(out: Buffer, words: Uint32Array, at: number, pair: XattrPair): void {
  words[at >> 2] = pair.suffix.length | (pair.index << 8) | (pair.value.length << 16);
  out.latin1Write(pair.suffix, at + XATTR_ENTRY_SIZE);
  out.latin1Write(pair.value, at + XATTR_ENTRY_SIZE + pair.suffix.length);
}
