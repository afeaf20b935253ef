import { PartialFile } from "../../repository/partial-files.ts";
import type { Repository } from "../../repository/repository.ts";
import type { Fd } from "../../sys/fd.ts";
import type { ChunkedPlan } from "../chunked/plan.ts";
import type { Descriptor } from "../descriptor.ts";
import type { RemoteBlobs } from "../source.ts";

/** A file that is being filled from its start. */
export interface TransferFile extends Disposable {
  readonly file: Fd;
  /** Bytes that are in it already. */
  readonly length: number;
  /** Closes it for good, whatever is in it. */
  discard(): void;
}

/** Something to be brought here. */
export interface Transfer {
  readonly blob: Descriptor;
  /** Bytes that the file will have. */
  readonly size: number;
  /** About so many of them are in the file already, to tell how much space is needed. */
  readonly present: number;
  open(): TransferFile;
  /** What the file lacks when it has `from` bytes. */
  pieces(from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Removes what has arrived of blobs that are not wanted any more: an interrupted run may have left it. */
export function removeParts(repository: Repository, blobs: Iterable<Descriptor>): void {
  for (const blob of blobs) PartialFile.remove(repository, partName(blob));
}

function partName({ digest }: Descriptor): string {
  return digest.replace(":", "-");
}

/** A whole blob. What has arrived of it is kept for the next attempt. */
export class BlobTransfer implements Transfer {
  readonly blob: Descriptor;
  readonly #repository: Repository;
  readonly #remote: RemoteBlobs;

  constructor(repository: Repository, remote: RemoteBlobs, blob: Descriptor) {
    this.#repository = repository;
    this.#remote = remote;
    this.blob = blob;
  }

  get size(): number {
    return this.blob.size;
  }

  get present(): number {
    return Math.min(this.size, PartialFile.lengthOf(this.#repository, this.#name));
  }

  open(): TransferFile {
    return PartialFile.open(this.#repository, this.#name, this.size);
  }

  get #name(): string {
    return partName(this.blob);
  }

  pieces(from: number, signal: AbortSignal): AsyncIterable<Uint8Array> {
    return this.#remote.stream(this.blob, from, signal);
  }
}

/** What a plan needs of a blob. */
export class ChunkedTransfer implements Transfer {
  readonly blob: Descriptor;
  readonly #remote: RemoteBlobs;
  readonly #plan: ChunkedPlan;
  readonly #file: Fd;

  /** @param file the local file of the plan with what is to be in front of the ranges; it stays open. */
  constructor(remote: RemoteBlobs, blob: Descriptor, plan: ChunkedPlan, file: Fd) {
    this.#remote = remote;
    this.blob = blob;
    this.#plan = plan;
    this.#file = file;
  }

  get size(): number {
    return this.#plan.plainLength + this.#plan.fetchLength;
  }

  get present(): number {
    return this.#plan.plainLength;
  }

  open(): TransferFile {
    return { file: this.#file, length: this.#plan.plainLength, discard() {}, [Symbol.dispose]() {} };
  }

  async *pieces(_from: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for await (const { bytes } of this.#remote.streamRanges(this.blob, this.#plan.ranges, signal))
      yield bytes;
  }
}
