import type { CfsError } from "../errors.ts";
import type { Timeouts } from "./client.ts";
import { cancelled, RequestError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { ReplyHead } from "./reply-head.ts";

/** Bodies up to this size are read to their end, so that the connection can be used again. */
const MAX_DISCARDED = 64 * 1024;

export interface Beginning {
  readonly parts: readonly Uint8Array[];
  /** Bytes of all parts. */
  readonly size: number;
  readonly isWhole: boolean;
}

/** What a server answered. Its body has to be read to the end, left early or discarded, once. */
export class Reply {
  readonly status: number;
  /** Where it came from, after redirections. */
  readonly url: URL;
  readonly #head: ReplyHead;
  #headers: Headers | undefined;
  readonly #exchange: Exchange;
  readonly #timeouts: Timeouts;
  readonly #failure: (error: unknown) => CfsError;
  readonly #release: () => void;
  /** Milliseconds spent waiting for the server, not those of whoever takes the pieces, and the bytes of that time. */
  #waited = 0;
  #received = 0;

  /** @param failure says what a broken connection means; @param release what is done when the body is done with. */
  constructor(
    exchange: Exchange,
    head: ReplyHead,
    url: URL,
    timeouts: Timeouts,
    failure: (error: unknown) => CfsError,
    release: () => void,
  ) {
    this.status = head.status;
    this.#head = head;
    this.url = url;
    this.#exchange = exchange;
    this.#timeouts = timeouts;
    this.#failure = failure;
    this.#release = release;
  }

  get headers(): Headers {
    this.#headers ??= headersOf(this.#head);
    return this.#headers;
  }

  /** Bytes of the body, if the server says so. */
  get length(): number | undefined {
    const text = this.headers.get("content-length");
    return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  /** Media type of the body, without parameters and in lower case. */
  get mediaType(): string | undefined {
    const type = (this.headers.get("content-type") ?? "").replace(/;.*/s, "").trim().toLowerCase();
    return type === "" ? undefined : type;
  }

  /**
   * The body, piece by piece; each is valid until the next one is asked for.
   * @throws CfsError Network when the connection breaks or is too slow, Cancelled
   */
  async *chunks(): AsyncGenerator<Uint8Array, void, void> {
    let isRead = false;
    try {
      for (;;) {
        const piece = await this.#next();
        if (piece === undefined) {
          isRead = true;
          return;
        }
        yield piece;
        release(piece);
      }
    } finally {
      if (isRead) this.#release();
      else this.leave();
    }
  }

  /**
   * The beginning of the body, in parts that stay valid: all of it, or somewhat more than `max` bytes, after which
   * `chunks` gives the rest.
   * @throws CfsError Network, Cancelled
   */
  async beginning(max: number): Promise<Beginning> {
    const parts: Uint8Array[] = [];
    let size = 0;
    try {
      while (size <= max) {
        const piece = await this.#next();
        if (piece === undefined) {
          this.#release();
          return { parts, size, isWhole: true };
        }
        parts.push(piece);
        size += piece.length;
      }
      return { parts, size, isWhole: false };
    } catch (error) {
      this.leave();
      throw error;
    }
  }

  /** Done with it: whatever has not been read is not wanted. */
  leave(): void {
    this.#release();
    this.#exchange.abort(cancelled(AbortSignal.abort()));
  }

  /** The next piece of the body; undefined at its end. */
  async #next(): Promise<Uint8Array | undefined> {
    const piece =
      this.#exchange.tryRead() ?? (this.#exchange.isRead ? undefined : await this.#waitForPiece());
    if (piece === undefined) return undefined;
    const { speedWindow, lowSpeed } = this.#timeouts;
    this.#received += piece.length;
    if (this.#waited >= speedWindow) {
      if (this.#received < (lowSpeed * speedWindow) / 1000) throw this.#tooSlow();
      this.#waited = 0;
      this.#received = 0;
    }
    return piece;
  }

  async #waitForPiece(): Promise<Uint8Array | undefined> {
    const started = performance.now();
    const abort = () => this.#exchange.abort(this.#tooSlow());
    const timer = setTimeout(abort, this.#timeouts.speedWindow - this.#waited);
    try {
      return await this.#exchange.read();
    } catch (error) {
      throw this.#failure(error);
    } finally {
      clearTimeout(timer);
      this.#waited += performance.now() - started;
    }
  }

  #tooSlow(): RequestError {
    return new RequestError("Network", `${this.url.host}: the transfer is too slow`, {
      transient: true,
      hint: "check the network, or try again later",
    });
  }

  /**
   * A small body in memory.
   * @param max bytes. @throws CfsError Invalid when it is larger, Network, Cancelled
   */
  async bytes(max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    const tooLarge = () =>
      new RequestError("Invalid", `${this.url.host}: the ${what} is larger than ${max} bytes`);
    if ((this.length ?? 0) > max) {
      await this.discard();
      throw tooLarge();
    }
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.chunks()) {
      size += chunk.length;
      if (size > max) throw tooLarge();
      parts.push(new Uint8Array(chunk));
    }
    const whole = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  /** The beginning of a body that is only shown; empty when even that can't be had. */
  async excerpt(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let size = 0;
    try {
      for await (const chunk of this.chunks()) {
        parts.push(new Uint8Array(chunk));
        size += chunk.length;
        if (size >= MAX_DISCARDED) break;
      }
    } catch {
      return new Uint8Array(0);
    }
    return Buffer.concat(parts).subarray(0, MAX_DISCARDED);
  }

  /** Done with it. Never fails. */
  async discard(): Promise<void> {
    await this.excerpt();
  }
}

/** What appears several times is joined with commas (RFC 9110, 5.3); what no header may contain is left out. */
function headersOf({ fields }: ReplyHead): Headers {
  const headers = new Headers();
  for (const [name, value] of fields) {
    try {
      headers.append(name, value);
    } catch {}
  }
  return headers;
}

/** Gives memory back at once: the garbage collector doesn't know how much there is of it. */
function release({ buffer, length }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0);
}
