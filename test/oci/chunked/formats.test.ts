import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decompress } from "fzstd";
import { CfsError } from "../../../src/errors.ts";
import { readTarSplit, type TarPiece } from "../../../src/oci/chunked/tar-split.ts";
import { chunkedLayout, readTableOfContents, unpack } from "../../../src/oci/chunked/toc.ts";
import { computeDigest } from "../../../src/oci/digest.ts";
import { fixture } from "./support.ts";

const PREFIX = "io.github.containers.zstd-chunked.";

describe("table of contents", () => {
  for (const name of ["old.zst", "new.zst", "new-early.zst"] as const) {
    test(`${name}: every range holds the file that it is said to hold`, () => {
      const { blob, descriptor, tar } = fixture(name);
      const layout = chunkedLayout(descriptor)!;
      const { offset, length } = layout.toc;
      const { files } = readTableOfContents(blob.subarray(offset, offset + length), layout);
      expect(files.length).toBeGreaterThan(100);
      for (const file of files) {
        const content = decompress(blob.subarray(file.offset, file.end));
        expect({ name: file.name, size: content.length, digest: computeDigest(content) }).toEqual({
          name: file.name,
          size: file.size,
          digest: file.digest,
        });
        expect(Buffer.from(tar).includes(content)).toBe(true);
      }
    });
  }

  test("a table that is not the one of the annotations is refused", () => {
    const { blob, descriptor } = fixture("new.zst");
    const layout = chunkedLayout(descriptor)!;
    const packed = blob.slice(layout.toc.offset, layout.toc.offset + layout.toc.length);
    packed[100]! ^= 1;
    expect(() => readTableOfContents(packed, layout)).toThrow(
      "Blob digest mismatch for the table of contents",
    );
  });

  test("annotations that make no sense mean an ordinary layer", () => {
    const { descriptor } = fixture("new.zst");
    const changed = (key: string, value: string) =>
      chunkedLayout({
        ...descriptor,
        annotations: new Map([...descriptor.annotations, [PREFIX + key, value]]),
      });
    expect(changed("manifest-position", "381177:5727:25153:1")).toBeDefined();
    for (const position of [
      "",
      "381177:5727:25153",
      "381177:5727:25153:2",
      "381177:5727:99999999999:1",
      "381177:99999:25153:1",
      "-1:5727:25153:1",
      "0:5727:25153:1",
      "x:y:z:1",
    ])
      expect(changed("manifest-position", position)).toBeUndefined();
    expect(changed("tarsplit-position", "386912:4310:1e9")?.tarSplit).toBeUndefined();
    expect(chunkedLayout({ ...descriptor, annotations: new Map() })).toBeUndefined();
  });

  test("what would take too much memory when it is fetched is left alone", () => {
    const { descriptor } = fixture("new.zst");
    const MAX = 64 * 1024 * 1024;
    const layoutOf = (key: string, position: string) =>
      chunkedLayout({
        ...descriptor,
        size: 1e12,
        annotations: new Map([...descriptor.annotations, [PREFIX + key, position]]),
      });
    expect(layoutOf("tarsplit-position", `386912:${MAX}:1000`)?.tarSplit).toBeDefined();
    expect(layoutOf("tarsplit-position", `386912:${MAX + 1}:1000`)?.tarSplit).toBeUndefined();
    expect(layoutOf("manifest-position", `386912:${MAX + 1}:1000:1`)).toBeUndefined();
  });

  test("what is inflated is bounded", () => {
    const bomb = Bun.zstdCompressSync(new Uint8Array(10_000_000));
    expect(() => [...unpack(bomb, 1_000_000, "table of contents")]).toThrow("more than 1000000 bytes");
  });
});

describe("tar-split", () => {
  const { blob, descriptor, tar } = fixture("new.zst");
  const { offset, length, plainSize } = chunkedLayout(descriptor)!.tarSplit!;
  const text = decompress(blob.subarray(offset, offset + length));

  function rebuild(pieces: Iterable<TarPiece>): Buffer {
    const parts: Uint8Array[] = [];
    let at = 0;
    for (const piece of pieces) {
      const part = piece.kind === "bytes" ? piece.bytes.slice() : tar.slice(at, at + piece.size);
      parts.push(part);
      at += part.length;
    }
    return Buffer.concat(parts);
  }

  test("the pieces and the files make up the tar", () => {
    expect(text.length).toBe(plainSize);
    expect(rebuild(readTarSplit([text])).equals(tar)).toBe(true);
  });

  test("the text may come in parts of any length", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 20 }),
        (lengths) => {
          expect(rebuild(readTarSplit(sliced(text, lengths))).equals(tar)).toBe(true);
        },
      ),
      { numRuns: 20 },
    );
  });

  test("damaged text is an error or other pieces, never anything else", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: text.length - 1 }),
        fc.integer({ min: 1, max: 255 }),
        (at, bits) => {
          const damaged = text.slice();
          damaged[at]! ^= bits;
          try {
            for (const piece of readTarSplit([damaged])) expect(["bytes", "body"]).toContain(piece.kind);
          } catch (error) {
            expect(error).toBeInstanceOf(CfsError);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

function* sliced(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = lengths[i % lengths.length]!;
    yield bytes.slice(at, at + length);
    at += length;
  }
}
