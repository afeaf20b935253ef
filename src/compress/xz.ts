import { XzReadableStream } from "xz-decompress";
import { CfsError } from "../errors.ts";

/**
 * Inflates a stream in the .xz format (xz-file-format.txt of XZ Utils). Slow: for worker threads, unless it is small.
 * The check at its end is not looked at where it is not CRC32: the caller knows a digest.
 * @param input the stream in pieces, each valid until the next one is asked for; what follows the stream is ignored.
 * @param sink gets the content, piece by piece; what it throws ends the work.
 * @throws CfsError Corrupt for damaged data, and when it ends too early.
 */
export async function inflateXz(
  input: Iterable<Uint8Array<ArrayBufferLike>>,
  sink: (piece: Uint8Array) => void,
): Promise<void> {
  const iterator = input[Symbol.iterator]();
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done === true) controller.close();
      // The library keeps what it can't use at once.
      else controller.enqueue(new Uint8Array(value));
    },
  });
  const reader = new XzReadableStream(source).getReader();
  for (;;) {
    const piece = await next(reader);
    if (piece === undefined) return;
    try {
      sink(piece);
    } catch (error) {
      await reader.cancel();
      throw error;
    }
  }
}

interface Reader {
  read(): Promise<{ readonly value?: Uint8Array | undefined }>;
}

async function next(reader: Reader): Promise<Uint8Array | undefined> {
  try {
    return (await reader.read()).value;
  } catch {
    throw new CfsError("Corrupt", "damaged xz data, or it ends too early");
  }
}
