import { pwriteAll } from "../../../sys/file.ts";

/** What a thread needs to append to the spool, and to read it. */
export interface SpoolHandle {
  /** A file for reading and writing without a name. */
  readonly fd: number;
  /** Where the next bytes go: one number. Shared. */
  readonly end: SharedArrayBuffer;
}

/** A piece of the spool. */
export interface Extent {
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** A file to which all threads append. */
export class SharedSpool {
  readonly handle: SpoolHandle;
  readonly #end: BigInt64Array;

  constructor(handle: SpoolHandle) {
    this.handle = handle;
    this.#end = new BigInt64Array(handle.end);
  }

  /** @param fd of an empty file. */
  static over(fd: number): SharedSpool {
    return new SharedSpool({ fd, end: new SharedArrayBuffer(8) });
  }

  append(bytes: Uint8Array<ArrayBufferLike>): Extent {
    const offset = Number(Atomics.add(this.#end, 0, BigInt(bytes.length)));
    pwriteAll(this.handle.fd, bytes, offset, "temporary file");
    return { offset, length: bytes.length };
  }
}

/** Collects what one thread appends, in order. */
export class ExtentList {
  readonly extents: Extent[] = [];
  readonly #spool: SharedSpool;
  /** Bytes of all of them. */
  length = 0;

  constructor(spool: SharedSpool) {
    this.#spool = spool;
  }

  append(bytes: Uint8Array<ArrayBufferLike>): void {
    this.add(this.#spool.append(bytes));
  }

  add(extent: Extent): void {
    this.length += extent.length;
    const last = this.extents.at(-1);
    if (last !== undefined && last.offset + last.length === extent.offset)
      this.extents[this.extents.length - 1] = { offset: last.offset, length: last.length + extent.length };
    else this.extents.push(extent);
  }
}
