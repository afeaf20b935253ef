import type { IncomingMessage } from "node:http";
import type { CfsError } from "../errors.ts";
import type { Timeouts } from "./client.ts";
import { cancelled, RequestError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";

/** Bodies up to this size are read to their end, so that the connection can be used again. */
const MAX_DISCARDED = 64 * 1024;

/** What a server answered. Its body has to be read to the end, left early or discarded, once. */
export class Reply {
  readonly status: number;
  readonly headers: Headers;
  /** Where it came from, after redirections. */
  readonly url: URL;
  readonly #exchange: Exchange;
  readonly #timeouts: Timeouts;
  readonly #failure: (error: unknown) => CfsError;
  readonly #release: () => void;

  /** @param failure says what a broken connection means; @param release what is done when the body is done with. */
  constructor(
    exchange: Exchange,
    message: IncomingMessage,
    url: URL,
    timeouts: Timeouts,
    failure: (error: unknown) => CfsError,
    release: () => void,
  ) {
    this.status = message.statusCode ?? 0;
    this.headers = headersOf(message);
    this.url = url;
    this.#exchange = exchange;
    this.#timeouts = timeouts;
    this.#failure = failure;
    this.#release = release;
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
    const { speedWindow, lowSpeed } = this.#timeouts;
    const tooSlow = new RequestError("Network", `${this.url.host}: the transfer is too slow`, {
      transient: true,
      hint: "check the network, or try again later",
    });
    // Only time spent waiting for the server counts, not that of whoever takes the pieces.
    let waited = 0;
    let received = 0;
    let finished = false;
    try {
      for (;;) {
        const started = performance.now();
        const timer = setTimeout(() => this.#exchange.abort(tooSlow), speedWindow - waited);
        let piece: Uint8Array | undefined;
        try {
          piece = await this.#exchange.read();
        } catch (error) {
          throw this.#failure(error);
        } finally {
          clearTimeout(timer);
        }
        if (piece === undefined) {
          finished = true;
          return;
        }
        received += piece.length;
        waited += performance.now() - started;
        if (waited >= speedWindow) {
          if (received < (lowSpeed * speedWindow) / 1000) throw tooSlow;
          waited = 0;
          received = 0;
        }
        yield piece;
        release(piece);
      }
    } finally {
      this.#release();
      if (!finished) this.#exchange.abort(cancelled(AbortSignal.abort()));
    }
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
function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    try {
      headers.append(rawHeaders[i]!, rawHeaders[i + 1]!);
    } catch {}
  }
  return headers;
}

/** Gives memory back at once: the garbage collector doesn't know how much there is of it. */
function release({ buffer, length }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === length) buffer.transfer(0);
}
