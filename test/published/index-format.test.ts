import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CfsError } from "../../src/errors.ts";
import { formatIndex, type PublishedIndex, parseIndex } from "../../src/published/index-format.ts";
import { algorithmOf, type ObjectId } from "../../src/verity/digest.ts";

const objectId = (size: number) =>
  fc
    .uint8Array({ minLength: size, maxLength: size })
    .map((bytes) => Buffer.from(bytes).toString("hex") as ObjectId);
const component = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 20 })
  .filter(
    (name) => !/[/\0]/.test(name) && name !== "." && name !== ".." && name !== "refs" && name.isWellFormed(),
  );

const index: fc.Arbitrary<PublishedIndex> = fc
  .constantFrom("sha256", "sha512")
  .chain((hash) => {
    const algorithm = algorithmOf(hash);
    const id = objectId(algorithm.size);
    return fc.record({
      algorithm: fc.constant(algorithm),
      streams: fc.array(fc.tuple(component, id, fc.maxSafeNat()), { minLength: 1, maxLength: 5 }),
      images: fc.array(fc.tuple(id, fc.maxSafeNat()), { minLength: 1, maxLength: 5 }),
      streamRefs: fc.array(fc.tuple(component, component, fc.nat()), { maxLength: 5 }),
      imageRefs: fc.array(fc.tuple(component, fc.nat()), { maxLength: 5 }),
    });
  })
  .map(({ algorithm, streams, images, streamRefs, imageRefs }) => ({
    algorithm,
    streams: new Map(streams.map(([name, id, size]) => [name, { id, size }] as const)),
    images: new Map(images.map(([id, size]) => [id, { id, size }] as const)),
    streamRefs: new Map(
      streamRefs.map(([a, b, n]) => [`${a}/${b}`, streams[n % streams.length]![0]] as const),
    ),
    imageRefs: new Map(imageRefs.map(([name, n]) => [name, images[n % images.length]![0]] as const)),
  }));

const encode = (text: string) => new TextEncoder().encode(text);

describe("the index of a published copy", () => {
  test("is read as it was written, and always written alike", () => {
    fc.assert(
      fc.property(index, (value) => {
        const text = formatIndex(value);
        const read = parseIndex(encode(text));
        expect(formatIndex(read)).toBe(text);
        expect(Object.fromEntries(read.streams)).toEqual(Object.fromEntries(value.streams));
        expect(Object.fromEntries(read.streamRefs)).toEqual(Object.fromEntries(value.streamRefs));
      }),
    );
  });

  test("that is damaged gives a value or a clear error", () => {
    const isClear = (bytes: Uint8Array) => {
      try {
        parseIndex(bytes);
      } catch (error) {
        if (!(error instanceof CfsError)) throw error;
        expect(error.message).not.toBe("");
      }
    };
    fc.assert(fc.property(fc.uint8Array(), isClear));
    fc.assert(fc.property(fc.json(), (text) => isClear(encode(text))));
    fc.assert(
      fc.property(index, fc.nat(), fc.nat(255), (value, at, byte) => {
        const bytes = encode(formatIndex(value));
        bytes[at % bytes.length] = byte;
        isClear(bytes);
        isClear(bytes.subarray(0, at % bytes.length));
      }),
    );
  });
});
