import type { Connection, ConnectionUser } from "./connection.ts";
import type { Route } from "./connections.ts";
import { type BodyReader, bodyReader } from "./reply-body.ts";
import { parseReplyHead, type ReplyHead } from "./reply-head.ts";

/** Content of a request; it can be had again for another attempt. */
export interface RequestBody {
  /** Bytes. */
  readonly size: number;
  chunks(): AsyncIterable<Uint8Array>;
}

export interface RequestHead {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
}

/** Bytes of a reply's head. Those that send us on to a storage have long ones. */
const MAX_HEAD = 64 * 1024;
/** Bytes of a body that may wait to be read before the server is made to wait. */
const MAX_WAITING = 256 * 1024;

/**
 * A request under way, and the reply to it, over a connection that is kept for others when both are complete. What
 * arrived before a connection broke can be read to the last byte, so that a transfer can be taken up there.
 */
export class Exchange implements ConnectionUser {
  readonly #route: Route;
  readonly #request: RequestHead;
  #connection: Connection | undefined;
  #isReused = false;
  /** What has come of the head. */
  #headBytes: Uint8Array | undefined;
  #head: ReplyHead | undefined;
  #body: BodyReader | undefined;
  #pieces: Uint8Array[] = [];
  #waitingBytes = 0;
  #broken: { readonly error: unknown } | undefined;
  #aborted: { readonly reason: unknown } | undefined;
  #isSending = false;
  #isBlocked = false;
  #waiting: (() => void)[] = [];

  constructor(route: Route, request: RequestHead) {
    this.#route = route;
    this.#request = request;
  }

  /** The connection was used before: that the server has closed it meanwhile says nothing about the server. */
  get isReused(): boolean {
    return this.#isReused;
  }

  /** Ends everything; whoever waits gets the reason. */
  abort(reason: unknown): void {
    if (this.#aborted !== undefined) return;
    this.#aborted = { reason };
    this.#leave();
    this.#changed();
  }

  /**
   * Sends the request. The body is not sent on when the server replies before it is through.
   * @param onTurn called when other requests to the server need not be waited for any more.
   * @returns head of the reply.
   */
  async send(body: RequestBody | undefined, onTurn: () => void): Promise<ReplyHead> {
    const { target, headers } = this.#route.target(this.#request.url);
    const head = requestHead(this.#request.method, target, { ...headers, ...this.#request.headers });
    this.#connect(head, body, onTurn);
    for (;;) {
      this.#check();
      if (this.#head !== undefined) return this.#head;
      if (this.#broken !== undefined) throw this.#broken.error;
      await this.#change();
    }
  }

  #connect(head: string, body: RequestBody | undefined, onTurn: () => void): void {
    const isWanted = () => {
      if (this.#aborted !== undefined) return false;
      onTurn();
      return true;
    };
    this.#route.take(isWanted).then(
      (connection) => {
        if (connection === undefined) return;
        if (this.#aborted !== undefined) return this.#route.giveBack(connection);
        const ended = connection.use(this);
        this.#isReused = connection.isReused;
        if (ended !== undefined) return this.onEnd(ended.error);
        this.#connection = connection;
        connection.write(head);
        if (body === undefined || body.size === 0) return;
        this.#isSending = true;
        this.#sendBody(connection, body).catch((error) => this.abort(error));
      },
      (error) => this.onEnd(error),
    );
  }

  /** More of the reply's body if some has arrived, which is valid for good; undefined when there is none yet. */
  tryRead(): Uint8Array | undefined {
    if (this.#aborted !== undefined) return undefined;
    const piece = this.#pieces.shift();
    if (piece === undefined) return undefined;
    this.#waitingBytes -= piece.length;
    if (this.#waitingBytes <= MAX_WAITING / 2) this.#connection?.resume();
    return piece;
  }

  /** All of the body has been read. */
  get isRead(): boolean {
    return this.#aborted === undefined && this.#pieces.length === 0 && this.#body?.isComplete === true;
  }

  /** More of the reply's body; undefined at its end. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      this.#check();
      const piece = this.tryRead();
      if (piece !== undefined) return piece;
      if (this.isRead) return undefined;
      if (this.#broken !== undefined) {
        if (this.#body!.endsWithConnection && this.#broken.error instanceof ConnectionClosed)
          return undefined;
        throw this.#broken.error;
      }
      await this.#change();
    }
  }

  onData(data: Uint8Array): void {
    try {
      const rest = this.#head === undefined ? this.#takeHead(data) : data;
      if (rest !== undefined && this.#body !== undefined) this.#takeBody(rest, this.#body);
    } catch (error) {
      this.#broken ??= { error };
      this.#leave();
    }
    this.#changed();
  }

  onEnd(error: unknown): void {
    this.#connection = undefined;
    this.#broken ??= { error: error ?? new ConnectionClosed() };
    this.#changed();
  }

  onDrain(): void {
    this.#isBlocked = false;
    this.#changed();
  }

  /** @returns what follows the head; undefined when that isn't complete. */
  #takeHead(data: Uint8Array): Uint8Array | undefined {
    const bytes = this.#headBytes === undefined ? data : Buffer.concat([this.#headBytes, data]);
    this.#headBytes = undefined;
    for (let at = 0; ; ) {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      const end = buffer.indexOf("\r\n\r\n", at, "latin1");
      if ((end < 0 ? bytes.length : end) - at > MAX_HEAD) throw headTooLong();
      if (end < 0) {
        this.#headBytes = bytes.slice(at);
        return undefined;
      }
      const head = parseReplyHead(buffer.latin1Slice(at, end), this.#request.method);
      at = end + 4;
      // said in advance of the reply (RFC 9110, 15.2)
      if (head.status < 200 && head.status !== 101) continue;
      this.#head = head;
      this.#body = bodyReader(head.body);
      return bytes.subarray(at);
    }
  }

  #takeBody(data: Uint8Array, body: BodyReader): void {
    const length = body.read(data, (piece) => {
      this.#pieces.push(piece);
      this.#waitingBytes += piece.length;
    });
    if (body.isComplete) {
      const isClean = length === data.length && !this.#isSending && this.#head?.keepsOpen === true;
      if (isClean && this.#connection !== undefined) this.#route.giveBack(this.#connection);
      // else the server may expect the rest of the request, which it won't get
      else this.#connection?.destroy();
      this.#connection = undefined;
    } else if (this.#waitingBytes > MAX_WAITING) {
      this.#connection?.pause();
    }
  }

  async #sendBody(connection: Connection, body: RequestBody): Promise<void> {
    const isOver = () =>
      this.#aborted !== undefined || this.#broken !== undefined || this.#head !== undefined;
    let sent = 0;
    for await (const chunk of body.chunks()) {
      if (isOver()) return;
      sent += chunk.length;
      this.#isSending = sent < body.size;
      // the chunk is not ours when this returns: the socket may still need it
      this.#isBlocked = !connection.write(new Uint8Array(chunk));
      while (this.#isBlocked && !isOver()) await this.#change();
    }
    if (sent !== body.size && !isOver()) throw new Error(`a body of ${body.size} bytes has ${sent}`);
  }

  #leave(): void {
    this.#connection?.destroy();
    this.#connection = undefined;
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
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

function requestHead(method: string, target: string, headers: Readonly<Record<string, string>>): string {
  let head = `${method} ${target} HTTP/1.1\r\n`;
  for (const name in headers) {
    const value = headers[name]!;
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value))
      throw Object.assign(new Error(`the header ${name} has a character that is not allowed`), {
        code: "ERR_INVALID_CHAR",
      });
    head += `${name}: ${value}\r\n`;
  }
  return `${head}\r\n`;
}

/** The other side has ended the connection, or somebody between. */
class ConnectionClosed extends Error {
  readonly code = "ECONNRESET";

  constructor() {
    super("the connection was closed");
  }
}

function headTooLong(): Error {
  return Object.assign(new Error("the head of its reply is too long"), { code: "ERR_HTTP_HEAD_TOO_LONG" });
}
