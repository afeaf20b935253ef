import { byteString } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import type { ObjectStore } from "../../repository/objects.ts";
import { CHECKSUM_SIZE, computeChecksum } from "../checksum.ts";
import type { StoredObject } from "../commit-table.ts";
import { checkMode, type FileHeader, isSymlink } from "../file-header.ts";
import { MAX_METADATA_SIZE } from "../objects.ts";
import { FileStorer, type ReadAt } from "../pull/file-storer.ts";
import type { BaseFiles } from "./base-files.ts";
import { bspatch } from "./bspatch.ts";
import { type ByteRange, pieces, slice, subRange } from "./byte-range.ts";
import { OPERATIONS } from "./operations.ts";
import { type PartContent, partLimit } from "./part-content.ts";
import type { DeltaObject } from "./superblock.ts";
import { OperationReader } from "./varint.ts";

const MAX_TARGET = 4096;

/**
 * Makes the objects of a part by its operations. What an object is comes from the list in the superblock, in the same
 * order; every one is compared with its checksum before it is kept.
 */
export class PartInterpreter {
  readonly #content: PartContent;
  readonly #objects: readonly DeltaObject[];
  readonly #base: BaseFiles;
  readonly #storer: FileStorer;
  readonly #operations: OperationReader;
  readonly #results: StoredObject[] = [];
  #source: ByteRange | undefined;
  /** Bytes of content that may still be made. */
  #allowed: number;

  constructor(
    content: PartContent,
    { objects, contentSize }: { readonly objects: readonly DeltaObject[]; readonly contentSize: number },
    base: BaseFiles,
    store: ObjectStore,
  ) {
    this.#content = content;
    this.#objects = objects;
    this.#base = base;
    this.#storer = new FileStorer(store);
    this.#operations = new OperationReader(content.operations);
    this.#allowed = partLimit(contentSize);
  }

  /**
   * @returns what became of the objects, in the order of the list; those that the operations do not make are missing
   *   at the end.
   * @throws CfsError Corrupt
   */
  run(): StoredObject[] {
    const operations = this.#operations;
    while (!operations.isAtEnd) {
      const code = operations.code();
      if (code === OPERATIONS.wholeObject) this.#take((object) => this.#wholeObject(object));
      else if (code === OPERATIONS.open) this.#take((object) => this.#openedFile(object));
      else if (!this.#selectSource(code)) {
        throw new CfsError("Corrupt", `delta opcode ${hexByte(code)} outside of an object, or unknown`);
      }
    }
    return this.#results;
  }

  #take(make: (object: DeltaObject) => StoredObject): void {
    const index = this.#results.length;
    const object = this.#objects[index];
    if (object === undefined) throw new CfsError("Corrupt", `object index ${index} out of range`);
    try {
      this.#results.push(make(object));
    } catch (error) {
      throw withContext(`${object.type} ${object.checksum}`, error);
    }
  }

  /** @returns false when the operation is another one. */
  #selectSource(code: number): boolean {
    if (code === OPERATIONS.unsetSource) this.#unsetSource();
    else if (code === OPERATIONS.setSource) {
      const offset = this.#operations.number();
      this.#source = this.#base.open(slice(this.#content.data, offset, CHECKSUM_SIZE, "payload slice"));
    } else return false;
    return true;
  }

  #unsetSource(): void {
    this.#source = undefined;
    this.#base.close();
  }

  #wholeObject({ type, checksum }: DeltaObject): StoredObject {
    if (type === "file") return this.#wholeFile({ type, checksum });
    const length = this.#operations.number();
    const offset = this.#operations.number();
    if (length > MAX_METADATA_SIZE)
      throw new CfsError("Corrupt", `${length} bytes are too many for metadata`);
    this.#allow(length);
    const data = slice(this.#content.data, offset, length, "payload slice").slice();
    const found = computeChecksum(data);
    if (found !== checksum) {
      throw new CfsError("Corrupt", `metadata object checksum mismatch: expected ${checksum}, got ${found}`, {
        data: { expected: checksum, found },
      });
    }
    return { data, external: undefined };
  }

  #wholeFile({ checksum }: DeltaObject): StoredObject {
    const header = this.#header();
    const size = this.#operations.number();
    const offset = this.#operations.number();
    this.#allow(size);
    const { data } = this.#content;
    if (!isSymlink(header)) {
      checkMode(header);
      return this.#storer.storePlain(
        checksum,
        header,
        size,
        pulled(pieces(data, offset, size, "payload slice")),
      );
    }
    if (size > MAX_TARGET) throw new CfsError("Corrupt", "the target of a symbolic link is too long");
    const target = byteString(slice(data, offset, size, "payload slice"));
    if (target.includes("\0"))
      throw new CfsError("Corrupt", "the target of a symbolic link has a NUL inside");
    return this.#storer.storeSymlink(checksum, { ...header, target });
  }

  #openedFile({ type, checksum }: DeltaObject): StoredObject {
    if (type !== "file") throw new CfsError("Corrupt", "an object of this type can't be made piece by piece");
    const header = this.#header();
    checkMode(header);
    if (isSymlink(header)) throw new CfsError("Corrupt", "a symbolic link can't be made piece by piece");
    const size = this.#operations.number();
    this.#allow(size);
    const stored = this.#storer.storePlain(checksum, header, size, pulled(this.#fileContent()));
    this.#unsetSource();
    return stored;
  }

  /** What the operations up to the end of the file make. */
  *#fileContent(): Generator<Uint8Array> {
    const operations = this.#operations;
    for (;;) {
      if (operations.isAtEnd) throw new CfsError("Corrupt", "the delta ends inside of a file");
      const code = operations.code();
      if (code === OPERATIONS.close) return;
      if (code === OPERATIONS.write) {
        const length = operations.number();
        const offset = operations.number();
        if (this.#source === undefined) yield* pieces(this.#content.data, offset, length, "payload slice");
        else yield* pieces(this.#source, offset, length, "read_source range");
      } else if (code === OPERATIONS.bspatch) {
        const offset = operations.number();
        const length = operations.number();
        if (this.#source === undefined) throw new CfsError("Corrupt", "BSPATCH without read source");
        yield* bspatch(this.#source, subRange(this.#content.data, offset, length, "payload slice"));
      } else if (!this.#selectSource(code)) {
        throw new CfsError("Corrupt", `unknown delta opcode ${hexByte(code)}`);
      }
    }
  }

  #header(): FileHeader {
    const modeIndex = this.#operations.number();
    const xattrIndex = this.#operations.number();
    const mode = this.#content.modes[modeIndex];
    if (mode === undefined) throw new CfsError("Corrupt", `mode index ${modeIndex} out of range`);
    const xattrs = this.#content.xattrs[xattrIndex];
    if (xattrs === undefined) throw new CfsError("Corrupt", `xattr index ${xattrIndex} out of range`);
    return { ...mode, target: "", xattrs };
  }

  #allow(size: number): void {
    this.#allowed -= size;
    if (this.#allowed < 0)
      throw new CfsError("Corrupt", "the objects have more content than the superblock says");
  }
}

function hexByte(code: number): string {
  return `0x${code.toString(16).padStart(2, "0")}`;
}

/** Reads from the front on, out of pieces as they come. */
function pulled(source: Iterator<Uint8Array>): ReadAt {
  let piece: Uint8Array = new Uint8Array(0);
  return (buffer) => {
    let filled = 0;
    while (filled < buffer.length) {
      if (piece.length === 0) {
        const { done, value } = source.next();
        if (done === true) break;
        piece = value;
        continue;
      }
      const length = Math.min(piece.length, buffer.length - filled);
      buffer.set(piece.subarray(0, length), filled);
      piece = piece.subarray(length);
      filled += length;
    }
    return filled;
  };
}
