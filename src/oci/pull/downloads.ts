import { CfsError, withContext } from "../../errors.ts";
import { pwriteAll } from "../../sys/file.ts";
import { Arrivals } from "./arrivals.ts";
import type { Transfer, TransferFile } from "./transfers.ts";

/** Files that are being filled or read may have this many times the size of the largest one together. */
const LARGEST_BLOBS_ON_DISK = 2;
/** As much may be on the disk in any case. */
const LEAST_BUDGET = 4 * 1024 * 1024;

export interface DownloadLimits {
  /** Blobs that are transported at the same time. */
  readonly connections: number;
  /** Blobs that are transported, or were and are not yet read to their end. */
  readonly blobs: number;
}

const DEFAULT_LIMITS: DownloadLimits = { connections: 6, blobs: Number.POSITIVE_INFINITY };

export interface DownloadOptions {
  /** Called when more of a blob can be read. */
  readonly onArrival: () => void;
  /** Called before a blob is fetched whose file has that many bytes already. */
  readonly onResume: (index: number, bytes: number) => void;
  /** Blobs are read while others arrive, so that the next one may wait for that; else all of them come first. */
  readonly readMeanwhile: boolean;
  readonly limits?: DownloadLimits;
}

/**
 * Brings blobs into files from which they can be read while they arrive. They are begun in the order given; the next
 * one waits while too much is on the disk that has not been read to its end.
 */
export class Downloads implements Disposable {
  readonly arrivals: Arrivals;
  readonly #transfers: readonly Transfer[];
  readonly #onArrival: () => void;
  readonly #onResume: (index: number, bytes: number) => void;
  readonly #files: (TransferFile | undefined)[];
  readonly #abort = new AbortController();
  readonly #budget: number;
  readonly #limits: DownloadLimits;
  #bytesOnDisk = 0;
  #underWay = 0;
  /** Blobs that were begun and are not done. */
  #begun = 0;
  #room: (() => void) | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(transfers: readonly Transfer[], options: DownloadOptions) {
    const { onArrival, onResume, readMeanwhile, limits = DEFAULT_LIMITS } = options;
    this.#transfers = transfers;
    this.#onArrival = onArrival;
    this.#onResume = onResume;
    this.#files = transfers.map(() => undefined);
    this.#budget = readMeanwhile
      ? Math.max(LEAST_BUDGET, ...transfers.map(({ size }) => LARGEST_BLOBS_ON_DISK * size))
      : Number.POSITIVE_INFINITY;
    this.#limits = readMeanwhile ? limits : { ...limits, blobs: Number.POSITIVE_INFINITY };
    this.arrivals = Arrivals.of(transfers.length);
  }

  /** Whether a blob could not be fetched. */
  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Fetches all blobs. @throws the first failure, when all connections have ended. */
  async run(): Promise<void> {
    const running: Promise<void>[] = [];
    const { signal } = this.#abort;
    for (const [index, { size }] of this.#transfers.entries()) {
      await this.#roomFor(size);
      if (signal.aborted) break;
      this.#bytesOnDisk += size;
      this.#underWay++;
      this.#begun++;
      const fetched = this.#fetch(index).catch((error) => {
        this.#failure ??= { error };
        this.stop();
      });
      const ended = fetched.then(() => {
        this.#underWay--;
        this.#room?.();
      });
      running.push(ended);
    }
    await Promise.all(running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The blob was read to its end and found to be right. */
  done(index: number): void {
    this.#files[index]!.discard();
    this.#files[index] = undefined;
    this.#begun--;
    this.#bytesOnDisk -= this.#transfers[index]!.size;
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
    const transfer = this.#transfers[index]!;
    const { size } = transfer;
    const { signal } = this.#abort;
    try {
      const opened = transfer.open();
      this.#files[index] = opened;
      const { fd, path } = opened.file;
      let at = opened.length;
      if (at > 0) this.#onResume(index, at);
      this.arrivals.begin(index, fd, at);
      this.#onArrival();
      if (at === size) return;
      for await (const piece of transfer.pieces(at, signal)) {
        if (signal.aborted) return;
        if (piece.length > size - at)
          throw new CfsError("Corrupt", `more than the expected ${size} bytes were sent`);
        pwriteAll(fd, piece, at, path);
        at += piece.length;
        this.arrivals.advance(index, at);
        this.#onArrival();
      }
      if (at !== size && !signal.aborted)
        throw new CfsError("Network", `${at} instead of ${size} bytes were sent`);
    } catch (error) {
      if (!signal.aborted) throw withContext(`layer ${transfer.blob.digest}`, error);
    }
  }

  async #roomFor(size: number): Promise<void> {
    const isFull = () =>
      this.#underWay === this.#limits.connections ||
      this.#begun === this.#limits.blobs ||
      (this.#bytesOnDisk > 0 && this.#bytesOnDisk + size > this.#budget);
    while (isFull() && !this.#abort.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#room = resolve;
      });
    }
  }
}
