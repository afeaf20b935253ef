import type { ClientRequest, IncomingMessage } from "node:http";

/** Content of a request; it can be had again for another attempt. */
export interface RequestBody {
  /** Bytes. */
  readonly size: number;
  chunks(): AsyncIterable<Uint8Array>;
}

/**
 * A request under way, and the reply to it. What arrived before a connection broke can be read to the last byte, so
 * that a transfer can be taken up there: neither listeners for data nor iterating over a reply would give that.
 */
export class Exchange {
  readonly #request: ClientRequest;
  #message: IncomingMessage | undefined;
  #ended = false;
  #broken: { readonly error: unknown } | undefined;
  #aborted: { readonly reason: unknown } | undefined;
  #isSending = false;
  #waiting: (() => void)[] = [];

  constructor(request: ClientRequest) {
    this.#request = request;
    const changed = () => this.#changed();
    const breaks = (error: unknown) => {
      this.#broken ??= { error };
      changed();
    };
    const closes = () => {
      if (!this.#ended) breaks(connectionClosed());
    };
    request.on("response", (message) => {
      this.#message = message;
      message.on("readable", changed);
      message.on("end", () => {
        if (!message.complete) return closes();
        this.#ended = true;
        changed();
      });
      message.on("error", breaks);
      message.on("close", closes);
      changed();
    });
    request.on("error", breaks);
    request.on("close", () => {
      if (this.#message === undefined) closes();
    });
    request.on("drain", changed);
  }

  /** The connection was used before: that the server has closed it meanwhile says nothing about the server. */
  get isReused(): boolean {
    return this.#request.reusedSocket;
  }

  /** Ends everything; whoever waits gets the reason. */
  abort(reason: unknown): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = { reason };
    this.#request.destroy();
    this.#changed();
  }

  /**
   * Sends the request. The body is not sent on when the server replies before it is through.
   * @returns head of the reply.
   */
  async send(body: RequestBody | undefined): Promise<IncomingMessage> {
    if (body === undefined || body.size === 0) this.#request.end();
    else {
      this.#isSending = true;
      void this.#sendBody(body).catch((error) => this.abort(error));
    }
    for (;;) {
      this.#check();
      if (this.#message !== undefined) return this.#message;
      if (this.#broken !== undefined) throw this.#broken.error;
      await this.#change();
    }
  }

  /** More of the reply's body; undefined at its end. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#check();
      const piece = this.#message!.read() as Buffer | null;
      // no Buffer: that one's slice() is another function
      if (piece !== null) return new Uint8Array(piece.buffer, piece.byteOffset, piece.length);
      if (this.#ended) {
        // the server expects the rest of the request, which it won't get
        if (this.#isSending) this.#request.destroy();
        return undefined;
      }
      if (this.#broken !== undefined) throw this.#broken.error;
      await this.#change();
    }
  }

  async #sendBody(body: RequestBody): Promise<void> {
    const isOver = () =>
      this.#aborted !== undefined || this.#broken !== undefined || this.#message !== undefined;
    let sent = 0;
    for await (const chunk of body.chunks()) {
      if (isOver()) return;
      sent += chunk.length;
      this.#isSending = sent < body.size;
      const isTaken = this.#request.write(chunk);
      while (!isTaken && this.#request.writableNeedDrain && !isOver()) await this.#change();
    }
    if (sent === body.size) this.#request.end();
    else if (!isOver()) throw new Error(`a body of ${body.size} bytes has ${sent}`);
  }

  #check(): void {
    if (this.#aborted !== undefined) throw this.#aborted.reason;
  }

  #change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    return promise;
  }

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function connectionClosed(): Error {
  return Object.assign(new Error("the connection was closed"), { code: "ECONNRESET" });
}
