import { writeSync } from "node:fs";
import { isatty } from "node:tty";
import { withContext } from "../errors.ts";
import { printable } from "./printable.ts";

const FLUSH_AT = 1 << 16;
const retryClock = new Int32Array(new SharedArrayBuffer(4));

/** Writes everything; a reader that went away ends the program quietly, as it got what it wanted. */
function writeAll(fd: number, bytes: Uint8Array): void {
  let at = 0;
  while (at < bytes.length) {
    try {
      at += writeSync(fd, bytes, at, bytes.length - at);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EPIPE") process.exit(0);
      // a pipe that someone made non-blocking is full: the reader needs a moment
      if (code !== "EAGAIN") throw withContext(`writing to standard ${fd === 2 ? "error" : "output"}`, error);
      Atomics.wait(retryClock, 0, 0, 1);
    }
  }
}

/** Something that occupies lines of the terminal and must get out of the way before others write there. */
export interface Overlay {
  clear(): void;
}

/**
 * The only writer to stdout. Texts are collected and written in blocks: when one is full, when the program gets
 * back to its event loop, and at exit.
 */
export class Output {
  readonly fd: number;
  overlay: Overlay | undefined;
  #pending: string[] = [];
  #length = 0;
  #scheduled = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  get isTerminal(): boolean {
    return isatty(this.fd);
  }

  /** A text and a line end. */
  line(text = ""): void {
    this.text(`${text}\n`);
  }

  text(text: string): void {
    this.#pending.push(text);
    this.#length += text.length;
    if (this.#length >= FLUSH_AT) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.flush();
      }).unref();
    }
  }

  bytes(bytes: Uint8Array): void {
    this.flush();
    this.overlay?.clear();
    writeAll(this.fd, bytes);
  }

  /** Pretty-printed with two spaces, and a line end. */
  json(value: unknown): void {
    this.line(JSON.stringify(value, undefined, 2));
  }

  /** A table with box drawing characters; every row has as many cells as the header. */
  table(header: readonly string[], rows: readonly (readonly string[])[]): void {
    this.text(formatTable(header, rows));
  }

  flush(): void {
    if (this.#length === 0) return;
    const text = this.#pending.join("");
    this.#pending = [];
    this.#length = 0;
    this.overlay?.clear();
    writeAll(this.fd, Buffer.from(text));
  }
}

/** The only writer to stderr: unbuffered, one message a line. */
export class MessageOutput {
  readonly fd: number;
  overlay: Overlay | undefined;
  readonly #before: Output;

  /** `before` is flushed first, so that both streams appear in the order of what happened. */
  constructor(fd: number, before: Output) {
    this.fd = fd;
    this.#before = before;
  }

  get isTerminal(): boolean {
    return isatty(this.fd);
  }

  /** Of the terminal; a pseudo-terminal may have none. */
  get columns(): number {
    return process.stderr.columns || 80;
  }

  get rows(): number {
    return process.stderr.rows || 24;
  }

  line(text = ""): void {
    this.text(`${text}\n`);
  }

  warning(text: string): void {
    this.line(`cfsctl: warning: ${printable(text)}`);
  }

  text(text: string): void {
    this.#before.flush();
    this.overlay?.clear();
    this.raw(text);
  }

  /** For the overlay itself. */
  raw(text: string): void {
    try {
      writeAll(this.fd, Buffer.from(text));
    } catch {
      // nobody is left to be told that stderr can't be written
    }
  }
}

/**
 * Lays out a table; columns are as wide as their widest cell in terminal columns. Cells may hold what an image says of
 * itself: control characters are escaped.
 */
export function formatTable(header: readonly string[], content: readonly (readonly string[])[]): string {
  const rows = content.map((row) => row.map(printable));
  const widths = header.map((title, i) =>
    rows.reduce((width, row) => Math.max(width, Bun.stringWidth(row[i] ?? "")), Bun.stringWidth(title)),
  );
  const rule = (left: string, fill: string, cross: string, right: string) =>
    `${left}${widths.map((w) => fill.repeat(w + 2)).join(cross)}${right}\n`;
  const line = (cells: readonly string[]) =>
    `│${widths.map((w, i) => ` ${cells[i] ?? ""}${" ".repeat(w - Bun.stringWidth(cells[i] ?? ""))} `).join("┆")}│\n`;
  const body = rows.map(line).join(rule("├", "╌", "┼", "┤"));
  return rule("┌", "─", "┬", "┐") + line(header) + rule("╞", "═", "╪", "╡") + body + rule("└", "─", "┴", "┘");
}
