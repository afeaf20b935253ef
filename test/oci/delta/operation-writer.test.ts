import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fromText } from "../../../src/bytes.ts";
import { writePieces } from "../../../src/oci/delta/create/write-pieces.ts";
import { MAX_ADD_DATA, Op } from "../../../src/oci/delta/format.ts";
import { OperationWriter } from "../../../src/oci/delta/operation-writer.ts";
import { TarDiffReader } from "../../../src/oci/delta/summary.ts";
import { type TarDiffOperation, TarDiffParser } from "../../../src/oci/delta/tar-diff-parser.ts";
import { StretchFinder } from "../../../src/similarity/stretches.ts";
import { noise } from "../../support/tar-writer.ts";

function written(write: (writer: OperationWriter) => void): Uint8Array {
  const pieces: Uint8Array[] = [];
  const writer = new OperationWriter((piece) => pieces.push(piece.slice()));
  write(writer);
  writer.flush();
  return new Uint8Array(Buffer.concat(pieces));
}

/** What the operations make of files: the format in a few lines. */
function applied(bytes: Uint8Array, files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const parser = new TarDiffParser(1);
  const out: Uint8Array[] = [];
  let file = new Uint8Array(0);
  let position = 0;
  for (let at = 0; ; ) {
    const step = parser.step(bytes, at, bytes.length, true);
    if (step.kind !== "operation") return new Uint8Array(Buffer.concat(out));
    at += step.length;
    const operation: TarDiffOperation = step.operation;
    if (operation.op === Op.Open) {
      file = new Uint8Array(files[operation.name]!);
      position = 0;
      continue;
    }
    const { op, size } = operation;
    if (op === Op.Seek) position = size;
    else if (op === Op.Data) {
      out.push(bytes.subarray(at, at + size));
      at += size;
    } else {
      const old = file.subarray(position, position + size);
      expect(old.length).toBe(size);
      position += size;
      if (op === Op.Copy) out.push(old);
      else {
        out.push(old.map((byte, i) => byte + bytes[at + i]!));
        at += size;
      }
    }
  }
}

const path = Buffer.from("usr/a");

describe("operations", () => {
  test.each<[string, (writer: OperationWriter) => void, number[]]>([
    ["data", (w) => w.data(Uint8Array.of(7, 8)), [0, 2, 7, 8]],
    ["open", (w) => w.open(Buffer.from("a/b")), [1, 3, 0x61, 0x2f, 0x62]],
    [
      "copy from the start needs no seek",
      (w) => {
        w.open(path);
        w.copy(0, 300);
      },
      [1, 5, ...path, 2, 0xac, 2],
    ],
    [
      "what follows needs none",
      (w) => {
        w.open(path);
        w.copy(0, 3);
        w.copy(3, 1);
      },
      [1, 5, ...path, 2, 3, 2, 1],
    ],
    [
      "seek",
      (w) => {
        w.open(path);
        w.copy(128, 1);
      },
      [1, 5, ...path, 4, 0x80, 1, 2, 1],
    ],
    [
      "add",
      (w) => {
        w.open(path);
        w.addData(0, Uint8Array.of(255));
      },
      [1, 5, ...path, 3, 1, 255],
    ],
    [
      "beyond 32 bits",
      (w) => {
        w.open(path);
        w.copy(2 ** 40, 1);
      },
      [1, 5, ...path, 4, 128, 128, 128, 128, 128, 32, 2, 1],
    ],
    [
      "nothing",
      (w) => {
        w.data(new Uint8Array(0));
        w.addData(5, new Uint8Array(0));
        w.copy(9, 0);
      },
      [],
    ],
    [
      "a frame leaves the file at its end",
      (w) => {
        w.open(path);
        w.zstdDict(Uint8Array.of(1), 4);
        w.copy(4, 1);
      },
      [1, 5, ...path, 5, 1, 1, 2, 1],
    ],
  ])("%s", (_, write, expected) => {
    expect([...written(write)]).toEqual(expected);
  });

  test("additions are split where readers would refuse them", () => {
    const sizes: number[] = [];
    let bytes = 0;
    const writer = new OperationWriter((piece) => {
      bytes += piece.length;
      if (piece.length > 64 * 1024) sizes.push(piece.length);
    });
    writer.open(path);
    writer.addData(0, new Uint8Array(MAX_ADD_DATA + 70_000));
    writer.flush();
    expect(sizes).toEqual([MAX_ADD_DATA, 70_000]);
    expect(bytes).toBe(MAX_ADD_DATA + 70_000 + 7 + 5 + 4);
  });

  test("names that readers refuse are not written", () => {
    const writer = new OperationWriter(() => undefined);
    expect(() => writer.open(new Uint8Array(0))).toThrow();
    expect(() => writer.open(new Uint8Array(4097))).toThrow();
  });

  test("bodies made of pieces are what they were", () => {
    const bytes = fc.uint8Array({ max: 2, maxLength: 300 });
    fc.assert(
      fc.property(bytes, bytes, fc.nat(200), fc.boolean(), (old, more, cut, isExact) => {
        const young = new Uint8Array(Buffer.concat([old.subarray(cut), more, old.subarray(0, cut)]));
        const stretches = new StretchFinder(old).find(young);
        const pieces = stretches.map(({ newStart, oldStart, length }, i) => {
          const same = old.subarray(oldStart, oldStart + length);
          const isSame = isExact && Buffer.compare(same, young.subarray(newStart, newStart + length)) === 0;
          return { newStart, oldStart, length, file: i % 2, old: isSame ? undefined : same };
        });
        const operations = written((writer) => {
          writePieces(writer, young, pieces, (file) => Buffer.from(`f${file}`));
        });
        expect(applied(operations, { f0: old, f1: old })).toEqual(young);
      }),
    );
  });
});

describe("what a tar-diff consists of", () => {
  const operations = written((writer) => {
    writer.data(noise(1000, 1));
    writer.open(Buffer.from(fromText("ä"), "latin1"));
    writer.copy(5, 300);
    writer.addData(305, new Uint8Array(20));
    writer.zstdDict(Bun.zstdCompressSync(noise(5000, 2)), 999);
    writer.data(Uint8Array.of(1));
  });
  const tarDiff = (version: 1 | 2, bytes: Uint8Array) =>
    new Uint8Array(Buffer.concat([Buffer.from(`tardf${version}\n\0`), Bun.zstdCompressSync(bytes)]));
  const read = (bytes: Uint8Array, step: number) => {
    const reader = new TarDiffReader();
    try {
      for (let at = 0; at < bytes.length; at += step) reader.add(bytes.subarray(at, at + step));
      return reader.finish();
    } finally {
      reader.close();
    }
  };

  test.each([1, 7, 1000, 1_000_000])("read by %d bytes", (step) => {
    expect(read(tarDiff(2, operations), step)).toEqual({
      version: 2,
      operationBytes: operations.length,
      operations: { Data: 2, Open: 1, Copy: 1, AddData: 1, Seek: 1, ZstdDict: 1 },
      copied: 300,
      patched: 5020,
      added: 1001,
    });
  });

  test("what is damaged is refused", () => {
    const good = tarDiff(2, operations);
    expect(() => read(tarDiff(1, operations), 1000)).toThrow();
    expect(() => read(good.subarray(0, 5), 1000)).toThrow();
    expect(() => read(good.subarray(0, -3), 1000)).toThrow();
    expect(() =>
      read(new Uint8Array(Buffer.concat([Buffer.from("tardf3\n\0"), good.subarray(8)])), 9),
    ).toThrow();
    expect(() => read(new Uint8Array(Buffer.concat([good, Buffer.from("rest")])), 9)).toThrow();
    expect(() => read(tarDiff(1, Uint8Array.of(2, 1)), 9)).toThrow();
  });

  test("bytes of all kinds end in a summary or an error, never otherwise", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(300), (noiseBytes, at) => {
        const good = tarDiff(2, operations);
        const bytes = good.slice();
        bytes.set(noiseBytes.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
        try {
          read(bytes, 64);
        } catch (error) {
          expect((error as { kind?: string }).kind).toBe("Corrupt");
        }
      }),
    );
  });
});
