import { type Compression, decompressor } from "../../compress/sync.ts";
import type { Progress } from "../../progress.ts";
import type { Fd } from "../../sys/fd.ts";
import { read } from "../../sys/file.ts";
import { fstat, isRegular } from "../../sys/stat.ts";
import { endInsideBody } from "../../tar/parser.ts";

const WINDOW = 2 * 1024 * 1024;
const INPUT = 256 * 1024;
const PROGRESS_STEP = 16 * 1024 * 1024;

/** Where the bytes of an entry come from. */
export class Body {
  /** Bytes of it in the archive. */
  readonly size: number;
  readonly #input: TarInput;
  #left: number;

  constructor(input: TarInput, size: number) {
    this.#input = input;
    this.size = size;
    this.#left = size;
  }

  /** Some of the bytes that are left, valid until the next call; none only at the end. */
  next(most = Number.POSITIVE_INFINITY): Uint8Array {
    const piece = this.#input.take(Math.min(this.#left, most));
    this.#left -= piece.length;
    return piece;
  }

  /** Fills `target` with the bytes that come next. @throws CfsError Invalid when there are not so many. */
  fill(target: Uint8Array): void {
    for (let done = 0; done < target.length; ) {
      const piece = this.next(target.length - done);
      if (piece.length === 0) throw endInsideBody();
      target.set(piece, done);
      done += piece.length;
    }
  }

  skipRest(): void {
    this.#input.skip(this.#left);
    this.#left = 0;
  }
}

/** A window on the plain bytes of an archive. */
export class TarInput {
  readonly window = new Uint8Array(WINDOW);
  start = 0;
  end = 0;
  /** Nothing follows what is in the window. */
  atEnd = false;
  readonly #file: Fd;
  readonly #progress: Progress;
  readonly #input = new Uint8Array(INPUT);
  #inputStart = 0;
  #inputEnd: number;
  #decompressor: ReturnType<typeof decompressor>;
  #consumed = 0;
  #reported = 0;

  constructor(file: Fd, progress: Progress) {
    this.#file = file;
    this.#progress = progress;
    this.#inputEnd = 0;
    while (this.#inputEnd < MAGIC_SIZE && this.#readMore() > 0) {}
    this.#decompressor = decompressor(compressionOf(this.#input.subarray(0, this.#inputEnd)));
  }

  /** Reads on; what is in the window stays. */
  fill(): void {
    if (this.start > 0) {
      this.window.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    const before = this.end;
    while (this.end === before && !this.atEnd) {
      if (this.#inputStart === this.#inputEnd) {
        this.#inputStart = 0;
        this.#inputEnd = 0;
        if (this.#readMore() === 0) {
          // What the decoder holds back comes out before it says that it has ended.
          this.#step();
          this.atEnd = this.end === before;
          continue;
        }
      }
      this.#step();
    }
  }

  /** Up to `most` bytes; none only when `most` is 0. @throws CfsError Invalid at the end. */
  take(most: number): Uint8Array {
    if (most === 0) return NOTHING;
    if (this.start === this.end) this.fill();
    if (this.start === this.end) throw endInsideBody();
    const from = this.start;
    this.start = Math.min(this.end, from + most);
    return this.window.subarray(from, this.start);
  }

  skip(length: number): void {
    for (let left = length; left > 0; ) left -= this.take(left).length;
  }

  /** To be called after the end of the archive. @throws CfsError Corrupt when the compressed data ends too early. */
  finish(): void {
    while (!this.atEnd) {
      this.start = this.end;
      this.fill();
    }
    this.#decompressor.finish();
    if (this.#reported > 0) this.#progress.event({ type: "done", id: TASK, bytes: this.#consumed });
  }

  close(): void {
    this.#decompressor.close();
  }

  #step(): void {
    const { window } = this;
    const coder = this.#decompressor;
    coder.step(this.#input, this.#inputStart, this.#inputEnd, window, this.end, window.length);
    this.#inputStart += coder.consumed;
    this.end += coder.produced;
  }

  /** Small archives are read before a line about it could be. */
  #announce(): void {
    const status = fstat(this.#file);
    const label = `reading ${this.#file.path}`;
    const size = isRegular(status) ? { totalBytes: status.size } : {};
    this.#progress.event({ type: "start", id: TASK, label, ...size });
  }

  #readMore(): number {
    const length = read(this.#file.fd, this.#input.subarray(this.#inputEnd), this.#file.path);
    this.#inputEnd += length;
    this.#consumed += length;
    if (this.#consumed - this.#reported >= PROGRESS_STEP) {
      if (this.#reported === 0) this.#announce();
      this.#reported = this.#consumed;
      this.#progress.event({ type: "advance", id: TASK, bytes: this.#consumed });
    }
    return length;
  }
}

const TASK = "tar";
const NOTHING = new Uint8Array(0);
const MAGIC_SIZE = 4;

function compressionOf(head: Uint8Array): Compression {
  const [a, b, c, d] = head;
  if (a === 0x1f && b === 0x8b) return "gzip";
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return "zstd";
  return "none";
}
