import { CfsError, withContext } from "../../errors.ts";
import { PartialFile } from "../../repository/partial-files.ts";
import type { Repository } from "../../repository/repository.ts";
import { pwriteAll } from "../../sys/file.ts";
import type { Descriptor } from "../descriptor.ts";
import type { OciDigest } from "../digest.ts";
import type { RemoteBlobs } from "../source.ts";
import { Arrivals } from "./arrivals.ts";

/** Blobs that are transported at the same time. */
const MAX_CONNECTIONS = 6;
/** Files that are being filled or read may have this many times the size of the largest one together. */
const LARGEST_BLOBS_ON_DISK = 2;
/** As much may be on the disk in any case. */
const LEAST_BUDGET = 4 * 1024 * 1024;

/** Where the bytes of a blob are kept until they are all there. */
export function partialName(digest: OciDigest): string {
  return digest.replace(":", "-");
}

/**
 * Brings blobs into files from which they can be read while they arrive. They are begun in the order given; the next
 * one waits while too much is on the disk that has not been read to its end.
 */
export class Downloads implements Disposable {
  readonly arrivals: Arrivals;
  readonly #repository: Repository;
  readonly #remote: RemoteBlobs;
  readonly #blobs: readonly Descriptor[];
  readonly #onArrival: () => void;
  readonly #files: (PartialFile | undefined)[];
  readonly #abort = new AbortController();
  readonly #budget: number;
  #bytesOnDisk = 0;
  #underWay = 0;
  #room: (() => void) | undefined;

  /** @param onArrival called when more of a blob can be read. */
  constructor(
    repository: Repository,
    remote: RemoteBlobs,
    blobs: readonly Descriptor[],
    onArrival: () => void,
  ) {
    this.#repository = repository;
    this.#remote = remote;
    this.#blobs = blobs;
    this.#onArrival = onArrival;
    this.#files = blobs.map(() => undefined);
    this.#budget = Math.max(LEAST_BUDGET, ...blobs.map(({ size }) => LARGEST_BLOBS_ON_DISK * size));
    this.arrivals = Arrivals.of(blobs.length);
  }

  /** Fetches all blobs. @throws the first failure, when all connections have ended. */
  async run(): Promise<void> {
    const transfers: Promise<void>[] = [];
    let failure: { error: unknown } | undefined;
    const { signal } = this.#abort;
    for (const [index, { size }] of this.#blobs.entries()) {
      await this.#roomFor(size);
      if (signal.aborted) break;
      this.#bytesOnDisk += size;
      this.#underWay++;
      const transfer = this.#fetch(index).catch((error) => {
        failure ??= { error };
        this.stop();
      });
      const ended = transfer.then(() => {
        this.#underWay--;
        this.#room?.();
      });
      transfers.push(ended);
    }
    await Promise.all(transfers);
    if (failure !== undefined) throw failure.error;
  }

  /** The blob was read to its end and found to be right. */
  done(index: number): void {
    this.#files[index]!.discard();
    this.#files[index] = undefined;
    this.#bytesOnDisk -= this.#blobs[index]!.size;
    this.#room?.();
  }

  /** Ends all transfers; what has arrived is kept. */
  stop(): void {
    this.#abort.abort();
    this.#room?.();
  }

  /** Removes what has arrived: there is something wrong with it. */
  discard(): void {
    for (const file of this.#files) file?.discard();
  }

  [Symbol.dispose](): void {
    for (const file of this.#files) file?.[Symbol.dispose]();
  }

  async #fetch(index: number): Promise<void> {
    const blob = this.#blobs[index]!;
    const { signal } = this.#abort;
    try {
      const partial = PartialFile.open(this.#repository, partialName(blob.digest), blob.size);
      this.#files[index] = partial;
      const { fd, path } = partial.file;
      let at = partial.length;
      this.arrivals.begin(index, fd, at);
      this.#onArrival();
      if (at === blob.size) return;
      for await (const piece of this.#remote.stream(blob, at, signal)) {
        if (signal.aborted) return;
        if (piece.length > blob.size - at)
          throw new CfsError("Corrupt", `more than the expected ${blob.size} bytes were sent`);
        pwriteAll(fd, piece, at, path);
        at += piece.length;
        this.arrivals.advance(index, at);
        this.#onArrival();
      }
      if (at !== blob.size && !signal.aborted)
        throw new CfsError("Network", `${at} instead of ${blob.size} bytes were sent`);
    } catch (error) {
      if (!signal.aborted) throw withContext(`layer ${blob.digest}`, error);
    }
  }

  async #roomFor(size: number): Promise<void> {
    const isFull = () =>
      this.#underWay === MAX_CONNECTIONS ||
      (this.#bytesOnDisk > 0 && this.#bytesOnDisk + size > this.#budget);
    while (isFull() && !this.#abort.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#room = resolve;
      });
    }
  }
}
