import type { ByteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { NO_XATTRS, type Xattrs } from "../tree/model.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import {
  type FormatVersion,
  MAX_SHARED_XATTRS,
  MAX_XATTR_COUNT_WORDS,
  METACOPY,
  METACOPY_HEADER_SIZE,
  OVERLAY_ESCAPE_PREFIX,
  OVERLAY_PREFIX,
  REDIRECT,
  XATTR_ENTRY_SIZE,
  XATTR_HEADER_SIZE,
  XATTR_INDEX_ACL_ACCESS,
  XATTR_INDEX_ACL_DEFAULT,
} from "./format.ts";
import { hashHex, IndexTable } from "./index-table.ts";
import type { ImageWindow } from "./window.ts";
import { compareFullNames, compareIndexed, XattrName, XattrPair, XattrSet } from "./xattr-pair.ts";

/** What the files of one object refer to instead of having it themselves. */
interface SharedEntries {
  readonly metacopy: XattrPair | undefined;
  readonly redirect: XattrPair | undefined;
}

/** In place of a set or an object: an inode has none. */
export const NONE = -1;

const NOTHING_SHARED: SharedEntries = { metacopy: undefined, redirect: undefined };

/**
 * All xattrs of an image: collects what inodes have, decides what is shared, and writes both kinds. Sets and objects
 * have numbers, which is all that an inode needs to keep.
 * Use: `use…` for every inode, then `finish`, `sizeOf` for every inode, `place`, and `write`.
 */
export class XattrTable {
  /** Entries of the shared table in their order; set by `finish`. */
  shared: XattrPair[] = [];
  readonly #version: FormatVersion;
  readonly #names = new Map<ByteString, XattrName>();
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
  /** The metacopy of an object that is also that of files whose data is at another path. */
  readonly #plainMetacopies = new Map<number, XattrPair>();
  /** Set by `finish`, for the few objects that share something. */
  readonly #sharedEntries = new Map<number, SharedEntries>();
  readonly #metacopyName: XattrName;
  readonly #redirectName: XattrName;
  /** Values that only lack a digest. */
  readonly #metacopyValue: Buffer;
  readonly #redirectValue: Buffer;
  readonly #metacopySize: number;
  readonly #redirectSize: number;
  readonly #objectFilterBits: number;
  readonly #metacopyTemplate: string;
  readonly #redirectTemplate: string;
  /** Header, metacopy and redirect of a file that has nothing else; only the digest is missing. */
  readonly #objectTemplate: string;

  /** @param references bound for the calls of `useObject`, `plainObjectPairs` and `backedPairs`. */
  constructor(version: FormatVersion, algorithm: Algorithm, references: number) {
    this.#version = version;
    this.#objectIds = new Array(references);
    this.#objects = new IndexTable(this.#objectIds, references);
    this.#objectUses = new Int32Array(references);
    this.#metacopyName = this.#name(METACOPY);
    this.#redirectName = this.#name(REDIRECT);
    this.#metacopyValue = Buffer.alloc(METACOPY_HEADER_SIZE + algorithm.size);
    this.#metacopyValue[1] = this.#metacopyValue.length;
    this.#metacopyValue[3] = algorithm.kernelId;
    this.#redirectValue = Buffer.alloc(2 + 2 * algorithm.size);
    this.#redirectValue[0] = SLASH;
    const metacopy = new XattrPair(this.#metacopyName, this.#metacopyValue.latin1Slice());
    const redirect = new XattrPair(this.#redirectName, this.#redirectValue.latin1Slice());
    this.#metacopySize = metacopy.entrySize;
    this.#redirectSize = redirect.entrySize;
    this.#objectFilterBits = this.#metacopyName.filterBit | this.#redirectName.filterBit;
    this.#metacopyTemplate = entryTemplate(metacopy);
    this.#redirectTemplate = entryTemplate(redirect);
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
    const value = this.#redirectTo(id);
    this.#plainRedirects.set(this.#object(id), this.#redirectName.pair(value));
    return [
      [METACOPY, ""],
      [REDIRECT, value],
    ];
  }

  /**
   * Pairs that mark a file whose data is in a file of any path.
   * @param id its digest, when that is enforced.
   */
  backedPairs(path: ByteString, id: ObjectId | undefined): (readonly [ByteString, ByteString])[] {
    const value = id === undefined ? "" : this.#metacopyOf(id);
    if (id !== undefined) this.#plainMetacopies.set(this.#object(id), this.#metacopyName.pair(value));
    return [
      [METACOPY, value],
      [REDIRECT, `/${path}`],
    ];
  }

  /** Whether a POSIX ACL is among them; V0 and V1 say so in the header. */
  hasAcl(): boolean {
    for (const { index } of this.#names.values()) {
      if (index === XATTR_INDEX_ACL_ACCESS || index === XATTR_INDEX_ACL_DEFAULT) return true;
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
    for (let object = 0; object < this.#objectCount; object++) this.#shareObject(object, shared);
    for (const name of this.#names.values()) {
      for (const pair of name.pairs()) if (pair.uses > 1) shared.push(pair);
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
        pair.write(out, words, local);
        local += pair.entrySize;
      }
    }
  }

  /** Writes the shared table at `offset` in the image. */
  writeShared(window: ImageWindow, offset: number): void {
    let next = offset;
    for (const pair of this.shared) {
      pair.write(window.bytes, window.words, window.at(next, pair.entrySize));
      next += pair.entrySize;
    }
  }

  #fillMetacopy(out: Buffer, entry: number, object: number): void {
    fillDigest(out, entry + XATTR_ENTRY_SIZE + this.#metacopyName.suffix.length, this.#objectIds[object]!);
  }

  #fillRedirect(out: Buffer, entry: number, object: number): void {
    fillPath(out, entry + XATTR_ENTRY_SIZE + this.#redirectName.suffix.length, this.#objectIds[object]!);
  }

  #metacopyOf(id: ObjectId): ByteString {
    fillDigest(this.#metacopyValue, 0, id);
    return this.#metacopyValue.latin1Slice();
  }

  #redirectTo(id: ObjectId): ByteString {
    fillPath(this.#redirectValue, 0, id);
    return this.#redirectValue.latin1Slice();
  }

  #object(id: ObjectId): number {
    const next = this.#objectCount;
    const object = this.#objects.indexOf(id, hashHex(id), next);
    if (object === next) this.#objectIds[this.#objectCount++] = id;
    return object;
  }

  /** Adds to `shared` what no pair of a name stands for. */
  #shareObject(object: number, shared: XattrPair[]): void {
    const uses = this.#objectUses[object]!;
    const plainMetacopy = this.#plainMetacopies.get(object);
    const plainRedirect = this.#plainRedirects.get(object);
    const isAlone = uses === 1 && plainMetacopy === undefined && plainRedirect === undefined;
    if (uses === 0 || isAlone) return;
    const id = this.#objectIds[object]!;
    const share = (plain: XattrPair | undefined, make: () => XattrPair): XattrPair | undefined => {
      const total = uses + (plain?.uses ?? 0);
      if (total === 1) return undefined;
      const pair = plain ?? make();
      if (pair === plain) pair.uses = total;
      else shared.push(pair);
      return pair;
    };
    const metacopy = share(plainMetacopy, () => new XattrPair(this.#metacopyName, this.#metacopyOf(id)));
    const redirect = share(plainRedirect, () => new XattrPair(this.#redirectName, this.#redirectTo(id)));
    if (metacopy !== undefined || redirect !== undefined)
      this.#sharedEntries.set(object, { metacopy, redirect });
  }

  #sharedOf(object: number): SharedEntries {
    return this.#sharedEntries.get(object) ?? NOTHING_SHARED;
  }

  #name(name: ByteString): XattrName {
    let known = this.#names.get(name);
    if (known === undefined) {
      known = new XattrName(name, this.#version);
      this.#names.set(name, known);
    }
    return known;
  }

  #pair(name: ByteString, value: ByteString): XattrPair {
    return this.#name(name).pair(value);
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
const NO_PAIRS: readonly XattrPair[] = [];

/** Fills in the digest of a metacopy value at `at`. */
function fillDigest(out: Buffer, at: number, id: ObjectId): void {
  out.hexWrite(id, at + METACOPY_HEADER_SIZE);
}

/** Fills in `xx/rest` of a redirect value at `at`, whose first slash is there. */
function fillPath(out: Buffer, at: number, id: ObjectId): void {
  out.latin1Write(id, at + 2);
  out[at + 1] = out[at + 2]!;
  out[at + 2] = out[at + 3]!;
  out[at + 3] = SLASH;
}

/** The bytes of a local entry. */
function entryTemplate({ name, value, entrySize }: XattrPair): string {
  const head = String.fromCharCode(name.suffix.length, name.index, value.length & 255, value.length >> 8);
  return (head + name.suffix + value).padEnd(entrySize, "\0");
}
