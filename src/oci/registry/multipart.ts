import { parseContentRange } from "../../http/content-range.ts";

/** Bytes of a blob at their place. */
export interface PlacedBytes {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** A `multipart/byteranges` body that isn't one. */
export class MultipartError extends Error {}

/** Longest line that is looked at: a header of a part, or the boundary. */
const MAX_LINE = 8 * 1024;
const MAX_HEADERS = 32;

const LF = 0x0a;

/** The boundary in a `Content-Type` of several ranges (RFC 2046, 5.1.1); undefined for another type. */
export function multipartBoundary(contentType: string | null): string | undefined {
  if (contentType === null || !/^multipart\/byteranges\b/i.test(contentType.trim())) return undefined;
  const match = /;\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))/i.exec(contentType);
  return match?.[1] ?? match?.[2];
}

/**
 * Takes a body of several ranges apart (RFC 9110, 14.6). How long a part is comes from its `Content-Range`, so that its
 * bytes are never searched for the boundary. Each piece is valid until the next one is asked for.
 * @throws MultipartError when it is malformed or ends early.
 */
export async function* parseMultipart(
  body: AsyncIterable<Uint8Array>,
  boundary: string,
): AsyncGenerator<PlacedBytes, void, void> {
  const input = new LineInput(body);
  const delimiter = `--${boundary}`;
  try {
    // what stands before the first boundary means nothing
    for (let lines = 0; ; lines++) {
      const line = (await input.line()).trimEnd();
      if (line === delimiter) break;
      if (line === `${delimiter}--`) return;
      if (lines === MAX_HEADERS) throw new MultipartError("there is no boundary");
    }
    for (;;) {
      const { start, end } = await partRange(input);
      for (let at = start; at < end; ) {
        const bytes = await input.take(end - at);
        yield { offset: at, bytes };
        at += bytes.length;
      }
      if ((await input.line()).trimEnd() !== "") throw new MultipartError("a part is longer than it says");
      const line = (await input.line(true)).trimEnd();
      if (line === `${delimiter}--`) return;
      if (line !== delimiter) throw new MultipartError("a part is not followed by a boundary");
    }
  } finally {
    await input.close();
  }
}

async function partRange(input: LineInput): Promise<{ start: number; end: number }> {
  let value: string | undefined;
  for (let headers = 0; headers <= MAX_HEADERS; headers++) {
    const line = (await input.line()).trimEnd();
    if (line === "") {
      const range = parseContentRange(value ?? null);
      if (range === undefined) throw new MultipartError("a part doesn't say which bytes it has");
      return range;
    }
    const header = /^content-range:(.*)$/i.exec(line);
    if (header !== null) value = header[1]!;
  }
  throw new MultipartError("a part has too many headers");
}

/** Lines and counted bytes, in turns. */
class LineInput {
  readonly #source: AsyncIterator<Uint8Array>;
  #buffer: Uint8Array = new Uint8Array(0);

  constructor(body: AsyncIterable<Uint8Array>) {
    this.#source = body[Symbol.asyncIterator]();
  }

  /**
   * Up to and with the next line feed, one character a byte.
   * @param last the body may end here instead.
   */
  async line(last = false): Promise<string> {
    let text = "";
    for (;;) {
      const end = this.#buffer.indexOf(LF);
      const part = end < 0 ? this.#buffer : this.#buffer.subarray(0, end + 1);
      if (text.length + part.length > MAX_LINE) throw new MultipartError("a line is too long");
      text += Buffer.from(part.buffer, part.byteOffset, part.length).toString("latin1");
      this.#buffer = this.#buffer.subarray(part.length);
      if (end >= 0) return text;
      if (!(await this.#fill())) {
        if (last && text !== "") return text;
        throw new MultipartError("it ends early");
      }
    }
  }

  /** At least one byte, at most `max`. */
  async take(max: number): Promise<Uint8Array> {
    while (this.#buffer.length === 0) if (!(await this.#fill())) throw new MultipartError("it ends early");
    const bytes = this.#buffer.subarray(0, max);
    this.#buffer = this.#buffer.subarray(bytes.length);
    return bytes;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #fill(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done === true) return false;
    this.#buffer = value;
    return true;
  }
}
