import type { ByteString } from "../../bytes.ts";
import { decompressor } from "../../compress/sync.ts";
import { frameHistory, MAX_FRAME_HEADER } from "../../compress/zstd-header.ts";
import { PrefixedFrame } from "../../compress/zstd-prefix.ts";
import { CfsError } from "../../errors.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { OciDigest } from "../digest.ts";
import { BlobBytes, type BlobInputOptions, type BlobLocation } from "../pull/blob-bytes.ts";
import type { LayerInput } from "../pull/layer-input.ts";
import { PlainHash } from "../pull/plain-hash.ts";
import { ByteAdder } from "./add-bytes.ts";
import {
  MAGIC_SIZE,
  MAX_PREFIX,
  MAX_PREFIXED_WINDOW_LOG,
  Op,
  type OpCode,
  tarDiffVersion,
} from "./format.ts";
import { checkRange, type SourceFile, type SourceFiles } from "./source-files.ts";
import { TarDiffParser } from "./tar-diff-parser.ts";

type Bytes = Uint8Array<ArrayBufferLike>;

/** Operations that are decompressed at once; longer than the longest without its payload. */
const WINDOW = 128 * 1024;
const ADD_STEP = 64 * 1024;

/** Waits until so much memory may be used, and gives it back. */
export interface MemoryShare {
  take(bytes: number): void;
  give(bytes: number): void;
}

/** A whole file of the source that stands in the tar. */
interface WholeCopy {
  readonly offset: number;
  readonly size: number;
  readonly id: ObjectId;
}

/**
 * Makes the tar of a layer from a tar-diff and the files of the source image. At a time it holds a piece of the
 * operations and, for the time of a frame with a prefix, that prefix and the frame's history.
 */
export class PatchInput implements LayerInput {
  readonly #blob: BlobBytes;
  readonly #sources: SourceFiles;
  readonly #memory: MemoryShare;
  readonly plain: PlainHash;
  readonly #decoder = decompressor("zstd");
  readonly #adder = new ByteAdder(ADD_STEP);
  #parser: TarDiffParser | undefined;

  /** Decompressed operations that were not looked at yet: `window[windowAt, windowEnd)`. */
  readonly #window = new Uint8Array(WINDOW);
  #windowAt = 0;
  #windowEnd = 0;
  #operationsEnded = false;

  #file: SourceFile | undefined;
  #position = 0;
  #op: OpCode = Op.Data;
  /** Bytes that the present operation is still to give, or, with a frame, to read. */
  #left = 0;
  #frame: PrefixedFrame | undefined;
  #frameMemory = 0;
  #ended = false;

  /** Bytes made. */
  #made = 0;
  readonly #copies: WholeCopy[] = [];

  /** @param id the diff ID. */
  constructor(
    location: BlobLocation,
    id: OciDigest,
    sources: SourceFiles,
    memory: MemoryShare,
    options: BlobInputOptions = {},
  ) {
    this.#blob = new BlobBytes(location, options, true);
    this.#sources = sources;
    this.#memory = memory;
    this.plain = new PlainHash(id);
  }

  get consumed(): number {
    return this.#blob.consumed;
  }

  fill(target: Bytes, start: number, end: number): number {
    let at = start;
    while (at < end && !this.#ended) {
      const made = this.#make(target, at, end);
      at += made;
      this.#made += made;
    }
    if (at > start) this.plain.update(target.subarray(start, at));
    return at;
  }

  objectAt(offset: number, size: number): ObjectId | undefined {
    const copies = this.#copies;
    while (copies.length > 0 && copies[0]!.offset < offset) copies.shift();
    const first = copies[0];
    return first?.offset === offset && first.size === size ? first.id : undefined;
  }

  finish(): string {
    this.#decoder.finish();
    this.#blob.verify();
    return this.plain.digest();
  }

  close(): void {
    this.#closeFrame();
    this.#sources.close();
    this.#decoder.close();
  }

  /** Goes on with the present operation, or begins the next one. @returns how many bytes were put at `target[at]`. */
  #make(target: Bytes, at: number, end: number): number {
    if (this.#frame !== undefined) return this.#decodeFrame(this.#frame, target, at, end);
    if (this.#left === 0) {
      this.#next();
      return 0;
    }
    const length = Math.min(this.#left, end - at);
    switch (this.#op) {
      case Op.Copy:
        return this.#copy(target, at, length);
      case Op.AddData:
        return this.#add(target, at, Math.min(length, ADD_STEP));
      case Op.ZstdDict:
        this.#skip();
        return 0;
      default: {
        const taken = this.#takePayload(target, at, at + length);
        this.#left -= taken;
        return taken;
      }
    }
  }

  #next(): void {
    this.#parser ??= this.#readMagic();
    for (;;) {
      const step = this.#parser.step(this.#window, this.#windowAt, this.#windowEnd, this.#operationsEnded);
      if (step.kind === "more") {
        this.#readOperations();
        continue;
      }
      if (step.kind === "end") {
        this.#ended = true;
        return;
      }
      this.#windowAt += step.length;
      const { operation } = step;
      if (operation.op === Op.Open) this.#open(operation.name);
      else this.#begin(operation.op, operation.size);
      return;
    }
  }

  #open(name: ByteString): void {
    this.#file = this.#sources.open(name);
    this.#position = 0;
  }

  #begin(op: Exclude<OpCode, typeof Op.Open>, size: number): void {
    if (op === Op.Seek) {
      this.#position = size;
      return;
    }
    if (op === Op.Copy || op === Op.AddData) checkRange(this.#file!, size, this.#position);
    this.#op = op;
    this.#left = size;
    if (op === Op.ZstdDict) this.#beginFrame(this.#file!);
    else if (op === Op.Copy) this.#noteCopy(this.#file!);
  }

  #noteCopy({ id, size }: SourceFile): void {
    if (id === undefined || size !== this.#left || this.#position !== 0) return;
    this.#copies.push({ offset: this.#made, size, id });
  }

  #copy(target: Bytes, at: number, length: number): number {
    this.#file!.read(target.subarray(at, at + length), this.#position);
    this.#position += length;
    this.#left -= length;
    return length;
  }

  #add(target: Bytes, at: number, length: number): number {
    this.#copy(target, at, length);
    const addends = this.#adder.addendsFor(target, at, length);
    for (let taken = 0; taken < length; ) taken += this.#takePayload(addends, taken, length);
    this.#adder.add(target, at, length);
    return length;
  }

  /** Moves bytes of the payload to `target[start, end)`. @returns how many; at least one. */
  #takePayload(target: Bytes, start: number, end: number): number {
    const present = Math.min(end - start, this.#windowEnd - this.#windowAt);
    if (present > 0) {
      target.set(this.#window.subarray(this.#windowAt, this.#windowAt + present), start);
      this.#windowAt += present;
      return present;
    }
    const decoded = this.#decode(target, start, end);
    if (decoded === 0) throw new CfsError("Corrupt", "the delta ends inside an operation");
    return decoded;
  }

  #beginFrame(file: SourceFile): void {
    const { size } = file;
    if (size > MAX_PREFIX) {
      throw new CfsError(
        "Unsupported",
        `the source image's file ${file.name} has ${size} bytes; at most ${MAX_PREFIX} can be the prefix of a frame`,
      );
    }
    while (this.#windowEnd - this.#windowAt < Math.min(MAX_FRAME_HEADER, this.#left)) {
      if (!this.#readOperations()) break;
    }
    const head = this.#window.subarray(this.#windowAt, this.#windowAt + MAX_FRAME_HEADER);
    const history = Math.min(frameHistory(head), 2 ** MAX_PREFIXED_WINDOW_LOG);
    // The library has a copy of the prefix until the frame ends; ours is gone before it makes room for the history.
    this.#frameMemory = size + Math.max(size, history);
    this.#memory.take(this.#frameMemory);
    const padded = new Uint8Array(size + 1);
    file.read(padded.subarray(1), 0);
    this.#frame = new PrefixedFrame(padded, MAX_PREFIXED_WINDOW_LOG);
    // Not left to the garbage collector, which does not know that this is the largest thing there is.
    padded.buffer.transfer(0);
  }

  #decodeFrame(frame: PrefixedFrame, target: Bytes, at: number, end: number): number {
    if (this.#windowAt === this.#windowEnd && this.#left > 0) this.#readOperations();
    const inputEnd = Math.min(this.#windowEnd, this.#windowAt + this.#left);
    frame.step(this.#window, this.#windowAt, inputEnd, target, at, end);
    const { consumed, produced } = frame;
    this.#windowAt += consumed;
    this.#left -= consumed;
    const isDone = produced < end - at;
    if (isDone && frame.isRead) {
      this.#closeFrame();
      this.#position = this.#file!.size;
    } else if (isDone && consumed === 0 && produced === 0) {
      throw new CfsError("Corrupt", "a frame of the delta ends too early");
    }
    return produced;
  }

  /** Passes over what stands behind a frame; it may be longer than what there is. */
  #skip(): void {
    const present = Math.min(this.#left, this.#windowEnd - this.#windowAt);
    this.#windowAt += present;
    this.#left -= present;
    if (this.#left > 0 && !this.#readOperations()) this.#left = 0;
  }

  #closeFrame(): void {
    if (this.#frame === undefined) return;
    this.#frame.close();
    this.#frame = undefined;
    this.#memory.give(this.#frameMemory);
  }

  /** Decompresses more operations into the window. @returns whether there were any. */
  #readOperations(): boolean {
    const window = this.#window;
    window.copyWithin(0, this.#windowAt, this.#windowEnd);
    this.#windowEnd -= this.#windowAt;
    this.#windowAt = 0;
    const decoded = this.#decode(window, this.#windowEnd, window.length);
    this.#windowEnd += decoded;
    this.#operationsEnded = decoded === 0;
    return decoded > 0;
  }

  /** @returns how many bytes were put at `target[start]`; 0 when there are no more. */
  #decode(target: Bytes, start: number, end: number): number {
    const blob = this.#blob;
    const decoder = this.#decoder;
    for (;;) {
      if (blob.at === blob.end && !blob.ended) blob.readMore();
      decoder.step(blob.buffer, blob.at, blob.end, target, start, end);
      const { consumed, produced } = decoder;
      blob.at += consumed;
      if (produced > 0) return produced;
      if (blob.at === blob.end && blob.ended) return 0;
      if (consumed === 0) throw new CfsError("Corrupt", "garbage in the compressed data");
    }
  }

  #readMagic(): TarDiffParser {
    const head = new Uint8Array(MAGIC_SIZE);
    const blob = this.#blob;
    for (let length = 0; length < MAGIC_SIZE; ) {
      if (blob.at === blob.end) {
        if (blob.ended) throw new CfsError("Corrupt", "it is no tar-diff: it is too short");
        blob.readMore();
      }
      const piece = blob.buffer.subarray(blob.at, Math.min(blob.end, blob.at + MAGIC_SIZE - length));
      head.set(piece, length);
      length += piece.length;
      blob.at += piece.length;
    }
    const version = tarDiffVersion(head);
    if (version === undefined)
      throw new CfsError("Corrupt", "it is no tar-diff of version 1 or 2: it begins otherwise");
    if (blob.at === blob.end && blob.ended) throw new CfsError("Corrupt", "the tar-diff has no operations");
    return new TarDiffParser(version);
  }
}
