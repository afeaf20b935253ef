import type { Socket } from "node:net";

/** Who has a connection at present. */
export interface ConnectionUser {
  onData(data: Uint8Array): void;
  /** Nothing more will come; `error` is what the system said, unless the other side has just ended it. */
  onEnd(error: unknown): void;
  /** What was written has gone. */
  onDrain(): void;
}

/** A connection, over which one request follows the other. */
export class Connection {
  readonly #socket: Socket;
  #user: ConnectionUser | undefined;
  #ended: { readonly error: unknown } | undefined;
  #uses = 0;
  #isPaused = false;
  #onUnusable: () => void;

  /** @param onUnusable is called once, when it can't be used any more. */
  constructor(socket: Socket, onUnusable: () => void) {
    this.#socket = socket;
    this.#onUnusable = onUnusable;
    socket.on("data", (data: Buffer) => {
      if (this.#user !== undefined) this.#user.onData(data);
      // nobody has asked for anything
      else this.destroy();
    });
    socket.on("error", (error) => this.#end(error));
    socket.on("end", () => this.#end(undefined));
    socket.on("close", () => this.#end(undefined));
    socket.on("drain", () => this.#user?.onDrain());
  }

  get isUsable(): boolean {
    return this.#ended === undefined;
  }

  /** It has carried a request before. */
  get isReused(): boolean {
    return this.#uses > 1;
  }

  /** @returns what ended it, when it isn't usable any more. */
  use(user: ConnectionUser): { readonly error: unknown } | undefined {
    this.#uses++;
    if (this.#ended !== undefined) return this.#ended;
    this.#user = user;
    this.#socket.ref();
    return undefined;
  }

  /** It is not used at present, and doesn't keep the process from ending. */
  rest(): void {
    this.#user = undefined;
    this.resume();
    this.#socket.unref();
  }

  /** @returns false when more should be written only after `onDrain`. */
  write(data: Uint8Array | string): boolean {
    if (this.#ended !== undefined) return true;
    return typeof data === "string" ? this.#socket.write(data, "latin1") : this.#socket.write(data);
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  destroy(): void {
    this.#user = undefined;
    this.#socket.destroy();
    this.#end(undefined);
  }

  #end(error: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { error };
    this.#user?.onEnd(error);
    this.#socket.destroy();
    this.#onUnusable();
  }
}
