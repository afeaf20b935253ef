import { withContext } from "../../errors.ts";
import type { Slab, SlabExchange } from "../../parallel/slabs.ts";
import { SLAB_SIZE, WHOLE_FILE } from "../../parallel/slabs.ts";
import type { NewObject, ObjectStore } from "../../repository/objects.ts";
import { FileSpool } from "../../repository/spool.ts";
import { openTemporary } from "../../repository/temporary.ts";
import { CONTENT_LAYER } from "../../splitstream/format.ts";
import { SplitstreamWriter } from "../../splitstream/writer.ts";
import { libc } from "../../sys/libc.ts";
import type { TarEntry } from "../../tar/entry.ts";
import { endInsideBody, endInsidePadding, TarParser } from "../../tar/parser.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { BLOCK_SIZE, VerityHasher } from "../../verity/merkle.ts";
import { LayerEntryWriter, type PackedEntries } from "../layer-entries.ts";
import type { LayerInput } from "./layer-input.ts";

/** Bodies up to this size are kept in one slab; larger ones are handed out in pieces. */
const MAX_WHOLE = SLAB_SIZE / 2;

/** What lies where in a slab. */
enum Segment {
  /** Followed by where it starts and ends. */
  Inline,
  /** A whole file; followed by its item. */
  Whole,
  /** A piece of a large file; followed by its item. */
  Piece,
  LargeEnd,
  /** A file whose object is known; followed by its number among those. */
  Known,
}

interface FilledSlab {
  readonly slab: Slab;
  /** Segments in the order of the tar stream, as plain numbers: there are several a file. */
  readonly segments: number[];
}

/** A file whose object is known without hashing it, until the splitstream has come to it. */
interface KnownFile {
  readonly id: ObjectId;
  readonly size: number;
}

/** A file too large for one slab, while its pieces are being written. */
interface LargeFile {
  readonly file: NewObject;
  readonly size: number;
  readonly hasher: VerityHasher;
  /** Bytes handed out. */
  position: number;
}

export interface SplitLayer {
  /** The splitstream object. */
  readonly id: ObjectId;
  /** The entries for building the tree, in a file to be closed by the receiver; `externals` says what they contain. None for
   * blobs. */
  readonly entries: PackedEntries | undefined;
  /** For each external body, in stream order, the index of its object in the splitstream. */
  readonly externals: Uint32Array<ArrayBuffer>;
  readonly statistics: SplitStatistics;
  /** The splitstream object of the blob as it was transported, when it is kept. */
  readonly blob?: ObjectId;
}

export interface SplitStatistics {
  newObjects: number;
  presentObjects: number;
  /** Bytes of the new objects. */
  storedBytes: number;
  /** Bytes kept inside the splitstream. */
  inlinedBytes: number;
}

export function noStatistics(): SplitStatistics {
  return { newObjects: 0, presentObjects: 0, storedBytes: 0, inlinedBytes: 0 };
}

/**
 * Splits one layer. This thread decompresses and walks the tar in slabs; the files in them are hashed and stored by
 * whichever thread is free, this one included, and so is the tar itself. Slabs come back in order, and the splitstream
 * is written from them.
 */
export class LayerSplitter {
  readonly #store: ObjectStore;
  readonly #exchange: SlabExchange;
  readonly #input: LayerInput;
  readonly #onProgress: (consumed: number) => void;
  readonly #parser = new TarParser();
  readonly #writer: SplitstreamWriter;
  readonly #spools: FileSpool[] = [];
  readonly #entriesFd: number;
  readonly #entries: LayerEntryWriter;
  #externals = new Uint32Array(1024);
  #externalCount = 0;
  readonly #statistics = noStatistics();

  readonly #inFlight: FilledSlab[] = [];
  readonly #largeFiles: LargeFile[] = [];
  readonly #knownFiles: KnownFile[] = [];
  /** Bytes at the end of a slab that must be seen together with what follows. */
  readonly #carry = new Uint8Array(SLAB_SIZE);

  /** The plain bytes are hashed slab by slab, by whichever thread is free. */
  #isHashed = false;

  // Where the walk stands between slabs.
  /** Bytes before the present slab. */
  #offset = 0;
  #inlineLeft = 0;
  /** Bytes of a file whose object is known that are passed over. */
  #knownLeft = 0;
  /** Size of a file of which nothing was seen yet; 0 when there is none. */
  #bodySize = 0;
  #wholeSize = 0;
  #bodyPadding = 0;
  #large: LargeFile | undefined;
  #ended = false;

  constructor(
    store: ObjectStore,
    exchange: SlabExchange,
    input: LayerInput,
    repositoryFd: number,
    onProgress: (consumed: number) => void,
  ) {
    this.#store = store;
    this.#exchange = exchange;
    this.#input = input;
    this.#onProgress = onProgress;
    this.#entriesFd = openTemporary(repositoryFd);
    this.#entries = new LayerEntryWriter(this.#entriesFd);
    this.#writer = new SplitstreamWriter(store.algorithm, CONTENT_LAYER, () => {
      const spool = new FileSpool(repositoryFd);
      this.#spools.push(spool);
      return spool;
    });
  }

  /** @param verify called with the hash of the tar before the splitstream is stored; throws to refuse it. */
  run(verify: (plainDigest: string) => void): SplitLayer {
    try {
      this.#splitAll();
      if (this.#isHashed) this.#input.plain.give(this.#exchange.finishHash());
      verify(this.#input.finish());
      return this.#finish();
    } catch (error) {
      libc.close(this.#entriesFd);
      throw error;
    } finally {
      this.#exchange.withdraw();
      for (const { file } of this.#largeFiles) this.#store.abandon(file);
      for (const spool of this.#spools) spool.close();
      this.#input.close();
    }
  }

  #splitAll(): void {
    const { plain } = this.#input;
    this.#isHashed = this.#exchange.beginHash(plain.algorithm);
    if (this.#isHashed) plain.leave();
    let carried = 0;
    for (let atEnd = false; !atEnd; ) {
      const slab = this.#freeSlab();
      slab.data.set(this.#carry.subarray(0, carried));
      const filledFrom = carried;
      const end = this.#input.fill(slab.data, filledFrom, SLAB_SIZE);
      atEnd = end < SLAB_SIZE;
      const filled: FilledSlab = { slab, segments: [] };
      const used = this.#walk(filled, end, atEnd);
      carried = end - used;
      this.#offset += used;
      this.#carry.set(slab.data.subarray(used, end));
      this.#inFlight.push(filled);
      if (this.#isHashed) slab.hash(filledFrom, end);
      this.#exchange.submit(slab);
      this.#onProgress(this.#input.consumed);
    }
    while (this.#inFlight.length > 0) this.#collect();
  }

  #freeSlab(): Slab {
    for (;;) {
      const slab = this.#exchange.acquire();
      if (slab !== undefined) return slab;
      this.#collect();
    }
  }

  /** Finds out what is in `data[0, end)`. @returns how much of it is settled; the rest is to be seen again. */
  #walk({ slab, segments }: FilledSlab, end: number, atEnd: boolean): number {
    const { data } = slab;
    const digestSize = this.#store.algorithm.size;
    let at = 0;
    let inlineStart = 0;
    let result = 0;
    const flushInline = () => {
      if (at > inlineStart) segments.push(Segment.Inline, inlineStart, at);
    };

    for (;;) {
      if (this.#ended) at = end;
      if (this.#inlineLeft > 0) {
        const length = Math.min(this.#inlineLeft, end - at);
        at += length;
        this.#inlineLeft -= length;
        if (this.#inlineLeft > 0) break;
      }
      if (this.#bodySize > 0) {
        if (at === end) break;
        flushInline();
        if (this.#beginBody(at)) segments.push(Segment.Known);
        inlineStart = at;
      }
      if (this.#knownLeft > 0) {
        const length = Math.min(this.#knownLeft, end - at);
        at += length;
        inlineStart = at;
        this.#knownLeft -= length;
        if (this.#knownLeft > 0) break;
        this.#inlineLeft = this.#bodyPadding;
        continue;
      }
      if (this.#wholeSize > 0) {
        const size = this.#wholeSize;
        if (end - at < size) break;
        flushInline();
        segments.push(Segment.Whole, slab.itemCount);
        slab.addItem(at, size, result, WHOLE_FILE, 0);
        result += digestSize;
        at += size;
        inlineStart = at;
        this.#wholeSize = 0;
        this.#inlineLeft = this.#bodyPadding;
        continue;
      }
      if (this.#large !== undefined) {
        const large = this.#large;
        const left = large.size - large.position;
        const available = end - at;
        // Pieces are whole blocks, so that each can be hashed on its own.
        const length = available >= left ? left : available - (available % BLOCK_SIZE);
        flushInline();
        if (length > 0) {
          segments.push(Segment.Piece, slab.itemCount);
          slab.addItem(at, length, result, large.file.fd, large.position);
          result += Math.ceil(length / BLOCK_SIZE) * digestSize;
          large.position += length;
          at += length;
        }
        inlineStart = at;
        if (length < left) break;
        segments.push(Segment.LargeEnd);
        this.#large = undefined;
        this.#inlineLeft = this.#bodyPadding;
        continue;
      }
      if (this.#ended) break;

      const step = this.#parser.step(data, at, end, atEnd);
      if (step.kind === "more") break;
      if (step.kind === "end") this.#ended = true;
      else if (step.kind === "inline") this.#inlineLeft = step.length;
      else {
        at += step.headerLength;
        this.#begin(
          step.entry,
          step.size,
          step.padding,
          step.external,
          data.subarray(at, at + Math.min(step.size, end - at)),
        );
      }
    }
    flushInline();
    if (atEnd) this.#expectNothingLeft();
    return at;
  }

  #begin(
    entry: TarEntry,
    size: number,
    padding: number,
    external: boolean,
    body: Uint8Array<ArrayBufferLike>,
  ): void {
    this.#entries.add(entry, external ? undefined : body);
    this.#bodyPadding = padding;
    if (external) this.#bodySize = size;
    else this.#inlineLeft = size + padding;
  }

  /** Decides what to do with a file whose content begins at `at` of the slab. @returns whether its object is known. */
  #beginBody(at: number): boolean {
    const size = this.#bodySize;
    this.#bodySize = 0;
    const id = this.#input.objectAt?.(this.#offset + at, size);
    if (id !== undefined) {
      this.#knownFiles.push({ id, size });
      this.#knownLeft = size;
      return true;
    }
    if (size <= MAX_WHOLE) {
      this.#wholeSize = size;
      return false;
    }
    this.#large = {
      file: this.#store.begin(),
      size,
      hasher: new VerityHasher(this.#store.algorithm),
      position: 0,
    };
    this.#largeFiles.push(this.#large);
    return false;
  }

  #expectNothingLeft(): void {
    const isCut =
      this.#bodySize > 0 || this.#knownLeft > 0 || this.#wholeSize > 0 || this.#large !== undefined;
    if (isCut) throw endInsideBody();
    if (this.#inlineLeft > 0) throw endInsidePadding();
  }

  /** Takes the oldest slab back and writes what it holds to the splitstream. */
  #collect(): void {
    const { slab, segments } = this.#inFlight.shift()!;
    this.#exchange.finish(slab);
    const { size: digestSize } = this.#store.algorithm;
    for (let i = 0; i < segments.length; ) {
      switch (segments[i++]) {
        case Segment.Inline: {
          const start = segments[i++]!;
          this.#writer.inline(slab.data.subarray(start, segments[i++]));
          break;
        }
        case Segment.Whole: {
          const item = segments[i++]!;
          const size = slab.length(item);
          const index = this.#writer.externalBytes(slab.results, slab.result(item), size);
          this.#countExternal(index, size, slab.created(item));
          break;
        }
        case Segment.Piece: {
          const item = segments[i++]!;
          const length = slab.length(item);
          const start = slab.result(item);
          const hashes = slab.results.subarray(start, start + Math.ceil(length / BLOCK_SIZE) * digestSize);
          this.#largeFiles[0]!.hasher.updateHashed(hashes, length);
          break;
        }
        case Segment.Known: {
          const { id, size } = this.#knownFiles.shift()!;
          this.#countExternal(this.#writer.external(id, size), size, false);
          break;
        }
        case Segment.LargeEnd: {
          const { file, hasher, size } = this.#largeFiles[0]!;
          this.#largeFiles.shift();
          const id = hasher.digest();
          const created = this.#store.commit(file, id, size);
          this.#countExternal(this.#writer.external(id, size), size, created);
          break;
        }
      }
    }
    this.#exchange.release(slab);
  }

  #countExternal(index: number, size: number, created: boolean): void {
    if (this.#externalCount === this.#externals.length) {
      const larger = new Uint32Array(this.#externals.length * 2);
      larger.set(this.#externals);
      this.#externals = larger;
    }
    this.#externals[this.#externalCount++] = index;
    const statistics = this.#statistics;
    if (created) {
      statistics.newObjects++;
      statistics.storedBytes += size;
    } else statistics.presentObjects++;
  }

  #finish(): SplitLayer {
    this.#statistics.inlinedBytes = this.#writer.inlineBytes;
    const finished = this.#writer.finish();
    try {
      const { id } = this.#store.storeStream((write) => {
        write(finished.head);
        finished.stream.drain(write);
      });
      return {
        id,
        entries: this.#entries.finish(),
        externals: this.#externals.slice(0, this.#externalCount),
        statistics: this.#statistics,
      };
    } catch (error) {
      throw withContext("storing the splitstream", error);
    }
  }
}
