import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseContentRange } from "../../../src/http/content-range.ts";
import { MultipartError, multipartBoundary, parseMultipart } from "../../../src/oci/registry/multipart.ts";

interface Part {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

async function* inPieces(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

function encode(parts: readonly Part[], boundary: string, newline = "\r\n"): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const { offset, bytes } of parts) {
    const range = `bytes ${offset}-${offset + bytes.length - 1}/1000000`;
    pieces.push(
      Buffer.from(
        `${newline}--${boundary}${newline}Content-Type: application/octet-stream${newline}content-range: ${range}${newline}${newline}`,
      ),
      bytes,
    );
  }
  return Buffer.concat([...pieces, Buffer.from(`${newline}--${boundary}--${newline}`)]);
}

/** The parts with adjacent pieces put together. */
async function decode(body: AsyncIterable<Uint8Array>, boundary: string): Promise<Part[]> {
  const parts: { offset: number; bytes: Uint8Array }[] = [];
  for await (const { offset, bytes } of parseMultipart(body, boundary)) {
    const last = parts.at(-1);
    if (last !== undefined && last.offset + last.bytes.length === offset)
      last.bytes = Buffer.concat([last.bytes, bytes]);
    else parts.push({ offset, bytes: Buffer.from(bytes) });
  }
  return parts;
}

const partsArbitrary = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 1, max: 1000 }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 200 }),
    }),
    {
      minLength: 1,
      maxLength: 8,
    },
  )
  .map((items) => {
    let at = 0;
    return items.map(({ gap, bytes }) => {
      const offset = at + gap;
      at = offset + bytes.length;
      return { offset, bytes: Buffer.from(bytes) };
    });
  });
const sizesArbitrary = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 });

describe("several ranges in one body", () => {
  test("come out as they went in, however they are cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        partsArbitrary,
        sizesArbitrary,
        fc.constantFrom("x", "--", "a b'()+_,-./:=?"),
        fc.constantFrom("\r\n", "\n"),
        async (parts, sizes, boundary, newline) => {
          expect(await decode(inPieces(encode(parts, boundary, newline), sizes), boundary)).toEqual(parts);
        },
      ),
    );
  });

  test("may hold what looks like a boundary", async () => {
    const bytes = Buffer.from("\r\n--B\r\nContent-Range: bytes 0-1/2\r\n\r\n\r\n--B--\r\n");
    expect(await decode(inPieces(encode([{ offset: 7, bytes }], "B"), [3]), "B")).toEqual([
      { offset: 7, bytes },
    ]);
  });

  test("give an error at every place where they may end, and nothing that isn't theirs", async () => {
    const parts = [
      { offset: 5, bytes: Buffer.from("hello") },
      { offset: 100, bytes: Buffer.from("world") },
    ];
    const whole = encode(parts, "B");
    // the line end behind the last boundary may be missing
    for (let length = 0; length < whole.length - 2; length++) {
      await expect(decode(inPieces(whole.subarray(0, length), [10]), "B")).rejects.toBeInstanceOf(
        MultipartError,
      );
    }
  });

  test("end with an error or a value when they are damaged", async () => {
    await fc.assert(
      fc.asyncProperty(
        partsArbitrary,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async (parts, place, change) => {
          const bytes = encode(parts, "B");
          bytes[place % bytes.length]! ^= change;
          try {
            for (const { offset } of await decode(inPieces(bytes, [50]), "B"))
              expect(offset).toBeGreaterThanOrEqual(0);
          } catch (error) {
            if (!(error instanceof MultipartError)) throw error;
          }
        },
      ),
    );
  });

  test.each([
    [
      "a part without a range",
      "\r\n--B\r\nContent-Type: x\r\n\r\nabc\r\n--B--\r\n",
      "doesn't say which bytes",
    ],
    [
      "a range of no bytes",
      "\r\n--B\r\nContent-Range: bytes 5-4/10\r\n\r\n\r\n--B--",
      "doesn't say which bytes",
    ],
    [
      "a part that is too long",
      "\r\n--B\r\nContent-Range: bytes 0-1/10\r\n\r\nabc\r\n--B--",
      "longer than it says",
    ],
    [
      "another boundary",
      "\r\n--B\r\nContent-Range: bytes 0-1/10\r\n\r\nab\r\n--C\r\n",
      "not followed by a boundary",
    ],
    ["no boundary", "text\r\n".repeat(100), "there is no boundary"],
    ["an endless line", "x".repeat(100_000), "a line is too long"],
    ["endless headers", `\r\n--B\r\n${"a: b\r\n".repeat(1000)}`, "too many headers"],
  ])("%s is refused", async (_, text, message) => {
    await expect(decode(inPieces(Buffer.from(text), [1000]), "B")).rejects.toThrow(message);
  });

  test("nothing but the end is a body without parts", async () => {
    expect(await decode(inPieces(Buffer.from("--B--\r\n"), [100]), "B")).toEqual([]);
  });
});

test.each([
  ["multipart/byteranges; boundary=abc", "abc"],
  ['Multipart/ByteRanges;charset=x; boundary="a b;c"', "a b;c"],
  ["multipart/byteranges", undefined],
  ["multipart/form-data; boundary=abc", undefined],
  ["application/octet-stream", undefined],
  [null, undefined],
])("boundary of %s", (type, boundary) => {
  expect(multipartBoundary(type)).toBe(boundary);
});

test.each([
  ["bytes 0-0/1", { start: 0, end: 1, total: 1 }],
  ["bytes 5-9/*", { start: 5, end: 10, total: undefined }],
  ["BYTES  5-9/10", { start: 5, end: 10, total: 10 }],
  ["bytes 5-10/10", undefined],
  ["bytes 5-4/10", undefined],
  ["bytes */10", undefined],
  ["lines 0-1/2", undefined],
  ["bytes 0-99999999999999999999/*", undefined],
  [null, undefined],
])("Content-Range: %s", (text, range) => {
  expect(parseContentRange(text)).toEqual(range!);
});
