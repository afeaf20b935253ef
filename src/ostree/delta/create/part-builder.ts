import { bytesOf } from "../../../bytes.ts";
import { compressXz } from "../../../compress/xz-writer.ts";
import { type Stretch, StretchFinder } from "../../../similarity/stretches.ts";
import { type Checksum, checksumBytes } from "../../checksum.ts";
import { type FileHeader, isSymlink } from "../../file-header.ts";
import { type Value, writeGVariant } from "../../gvariant.ts";
import { offsetWidth } from "../../gvariant-type.ts";
import { swap32, xattrValue } from "../../objects.ts";
import { OPERATIONS } from "../operations.ts";
import { XZ } from "../part-content.ts";
import { pushVarint } from "../varint.ts";
import { makePatch } from "./make-patch.ts";

/** A file of the old commit that a new one may be made of. */
export interface OldFile {
  readonly checksum: Checksum;
  readonly content: Uint8Array;
}

/** What switching between the old file and the data costs. */
const SWITCH_COST = 12;

/** Collects the objects of a part. */
export class PartBuilder {
  readonly #modes = new Map<string, number>();
  readonly #modeValues: Value[] = [];
  readonly #xattrs = new Map<string, number>();
  readonly #xattrValues: Value[] = [];
  readonly #data: Uint8Array[] = [];
  readonly #operations: number[] = [];
  #length = 0;
  /** Bytes of the objects' content. */
  contentSize = 0;

  addMetadata(bytes: Uint8Array): void {
    this.contentSize += bytes.length;
    const offset = this.#append(bytes);
    this.#op(OPERATIONS.wholeObject, bytes.length, offset);
  }

  /** @param content of a regular file; not looked at for symbolic links. */
  addFile(header: FileHeader, content: Uint8Array, old: OldFile | undefined): void {
    const mode = this.#indexOfMode(header);
    const xattrs = this.#indexOfXattrs(header);
    const bytes = isSymlink(header) ? bytesOf(header.target) : content;
    this.contentSize += bytes.length;
    if (old !== undefined && !isSymlink(header) && this.#addChanged(mode, xattrs, content, old)) return;
    const offset = this.#append(bytes);
    this.#op(OPERATIONS.wholeObject, mode, xattrs, bytes.length, offset);
  }

  /** The part as it is stored: a byte that says how it is compressed, and the payload. */
  finish(): Uint8Array<ArrayBuffer> {
    const payload = this.#payload();
    // Always, although it may be no smaller: libostree can't map uncompressed parts that are files of their own.
    return new Uint8Array(Buffer.concat([Uint8Array.of(XZ), compressXz(payload)]));
  }

  /** `(a(uuu)aa(ayay)ayay)`; put together by hand, as the data is copied only once then. */
  #payload(): Buffer<ArrayBuffer> {
    const modes = writeGVariant("a(uuu)", this.#modeValues);
    const xattrs = writeGVariant("aa(ayay)", this.#xattrValues);
    const ends = [modes.length, modes.length + xattrs.length, modes.length + xattrs.length + this.#length];
    const bodySize = ends[2]! + this.#operations.length;
    const width = offsetWidth(bodySize, ends.length);
    const offsets = Buffer.alloc(ends.length * width);
    for (const [i, end] of ends.reverse().entries()) offsets.writeUIntLE(end, i * width, Math.min(width, 6));
    return Buffer.concat([modes, xattrs, ...this.#data, Uint8Array.from(this.#operations), offsets]);
  }

  /** @returns false when the old file is of little use. */
  #addChanged(mode: number, xattrs: number, content: Uint8Array, old: OldFile): boolean {
    const finder = new StretchFinder(old.content);
    const same = finder.findSame(content);
    const copies = same.filter(({ length }) => length > SWITCH_COST * 2);
    const copied = copies.reduce((sum, { length }) => sum + length, 0);
    const copyCost = content.length - copied + SWITCH_COST * copies.length;
    if (copies.length === 0) return false;
    const patch = makePatch(old.content, content, finder.grow(content, same));
    if (Math.min(copyCost, patch.cost) > 0.9 * content.length) return false;
    const id = this.#append(checksumBytes(old.checksum));
    if (patch.cost < copyCost) {
      const offset = this.#append(patch.bytes);
      this.#op(OPERATIONS.setSource, id);
      this.#op(OPERATIONS.open, mode, xattrs, content.length);
      this.#op(OPERATIONS.bspatch, offset, patch.bytes.length);
    } else {
      this.#op(OPERATIONS.open, mode, xattrs, content.length);
      this.#addCopies(content, copies, id);
    }
    this.#op(OPERATIONS.close);
    // libostree's own generator takes the source away after a patch.
    this.#op(OPERATIONS.unsetSource);
    return true;
  }

  #addCopies(content: Uint8Array, copies: readonly Stretch[], id: number): void {
    let at = 0;
    const insert = (end: number) => {
      if (end === at) return;
      const offset = this.#append(content.subarray(at, end));
      this.#op(OPERATIONS.write, end - at, offset);
    };
    for (const { newStart, oldStart, length } of copies) {
      insert(newStart);
      this.#op(OPERATIONS.setSource, id);
      this.#op(OPERATIONS.write, length, oldStart);
      this.#op(OPERATIONS.unsetSource);
      at = newStart + length;
    }
    insert(content.length);
  }

  #append(bytes: Uint8Array): number {
    const offset = this.#length;
    this.#data.push(bytes);
    this.#length += bytes.length;
    return offset;
  }

  #op(code: number, ...numbers: readonly number[]): void {
    this.#operations.push(code);
    for (const number of numbers) pushVarint(this.#operations, number);
  }

  #indexOfMode({ uid, gid, mode }: FileHeader): number {
    return indexOf(this.#modes, this.#modeValues, `${uid} ${gid} ${mode}`, () => [
      swap32(uid),
      swap32(gid),
      swap32(mode),
    ]);
  }

  #indexOfXattrs({ xattrs }: FileHeader): number {
    const key = JSON.stringify(xattrs);
    return indexOf(this.#xattrs, this.#xattrValues, key, () => xattrValue(xattrs));
  }
}

function indexOf(known: Map<string, number>, values: Value[], key: string, value: () => Value): number {
  let index = known.get(key);
  if (index === undefined) {
    index = values.length;
    values.push(value());
    known.set(key, index);
  }
  return index;
}
