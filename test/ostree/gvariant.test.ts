import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { fromText } from "../../src/bytes.ts";
import { CfsError } from "../../src/errors.ts";
import { checksumBytes, checksumOf } from "../../src/ostree/checksum.ts";
import { dirTreeName, visitDirTree } from "../../src/ostree/dirtree-reader.ts";
import { encodeArchiveHeader, parseArchiveHeader } from "../../src/ostree/file-header.ts";
import { readGVariant, type Value, Variant, writeGVariant } from "../../src/ostree/gvariant.ts";
import { gtype } from "../../src/ostree/gvariant-type.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const fromHex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

/** Examples of the GVariant Specification 1.0, section 3.3, in little-endian where it has no byte order. */
const EXAMPLES: readonly (readonly [signature: string, value: Value, hex: string])[] = [
  ["s", "hello world", "68656c6c6f20776f726c6400"],
  ["ms", "hello world", "68656c6c6f20776f726c640000"],
  ["ms", null, ""],
  ["ab", [true, false, false, true, true], "0100000101"],
  ["(si)", ["foo", -1], "666f6f00ffffffff04"],
  [
    "a(si)",
    [
      ["hi", -2],
      ["bye", -1],
    ],
    "68690000feffffff03000000 62796500ffffffff04 0915",
  ],
  ["as", ["i", "can", "has", "strings?"], "6900 63616e00 68617300 737472696e67733f00 02060a13"],
  [
    "((ys)as)",
    [
      [0x69, "can"],
      ["has", "strings?"],
    ],
    "69 63616e00 68617300 737472696e67733f00 040d 05",
  ],
  ["(yy)", [0x70, 0x80], "7080"],
  ["(iy)", [96, 0x70], "6000000070000000"],
  ["(yi)", [0x70, 96], "7000000060000000"],
  [
    "a(iy)",
    [
      [96, 0x70],
      [648, 0xf7],
    ],
    "6000000070000000 88020000f7000000",
  ],
  ["ai", [4, 258], "0400000002010000"],
  ["{si}", ["a key", 514], "61206b657900 0000 02020000 06"],
  ["v", new Variant("s", "x"), "7800 00 73"],
];

describe("examples of the specification", () => {
  test.each(EXAMPLES)("%s", (signature, value, expected) => {
    const bytes = fromHex(expected);
    expect(hex(writeGVariant(signature, value))).toBe(hex(bytes));
    const read = readGVariant(signature, bytes);
    expect(hex(writeGVariant(signature, read))).toBe(hex(bytes));
    if (signature !== "v") expect(read).toEqual(value as never);
  });
});

const NOT_NORMAL: readonly (readonly [why: string, signature: string, hex: string])[] = [
  ["a string without its end", "s", "6869"],
  ["an empty string of no bytes", "s", ""],
  ["a NUL inside", "s", "680069 00"],
  ["not UTF-8", "s", "ff00"],
  ["a boolean of 2", "b", "02"],
  ["padding", "(yi)", "7001000060000000"],
  ["padding at the end", "(iy)", "6000000070000001"],
  ["a wrong size", "i", "000000"],
  ["an offset outside", "as", "6900ff"],
  ["offsets that go back", "as", "610062000401"],
  ["offsets that are too wide", "(si)", `${"00".repeat(4)}ffffffff0100${"00".repeat(250)}`],
  ["unused bytes", "(su)", "61000000 00000000 00000000 02"],
  ["a variant without type", "v", "6161"],
  ["a variant of no type", "v", "00007a"],
  ["a variant of two types", "v", "0000 7979"],
];

test.each(NOT_NORMAL)("refused: %s", (_, signature, text) => {
  expect(() => readGVariant(signature, fromHex(text))).toThrow(CfsError);
});

test("types that are none", () => {
  for (const signature of ["", "z", "(", "a", "(s", "{vs}", "{s}", "ss", "m", "a{s(}"]) {
    expect(() => gtype(signature)).toThrow("not a GVariant type");
  }
  expect(() => gtype("a".repeat(1000))).toThrow("nested too deeply");
});

/** Either the value or that it was refused. */
function outcome<T>(action: () => T): T | "refused" {
  try {
    return action();
  } catch (error) {
    if (error instanceof CfsError) return "refused";
    throw error;
  }
}

const checksum = fc.uint8Array({ minLength: 32, maxLength: 32 });
const name = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 60 }).map((s) => s.replaceAll("\0", "")),
  fc.constant("x".repeat(250)),
);
const dirtree = fc.tuple(
  fc.array(fc.tuple(name, checksum), { maxLength: 12 }),
  fc.array(fc.tuple(name, checksum, checksum), { maxLength: 12 }),
);
const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 2 });

function damaged(bytes: Uint8Array, edits: readonly (readonly [number, number])[], cut: number): Uint8Array {
  const copy = bytes.slice(0, bytes.length - Math.min(cut, bytes.length));
  for (const [at, value] of edits) if (copy.length > 0) copy[at % copy.length] = value;
  return copy;
}

describe("the readers for hot paths take what the general one takes", () => {
  test("dirtrees", () => {
    fc.assert(
      fc.property(dirtree, changes, fc.nat({ max: 3 }), (value, edits, cut) => {
        const bytes = damaged(writeGVariant("(a(say)a(sayay))", value), edits, cut);
        const general = outcome(() => {
          const [files, directories] = readGVariant("(a(say)a(sayay))", bytes) as [
            [string, Uint8Array][],
            [string, Uint8Array, Uint8Array][],
          ];
          const lengths = [...files.map((f) => f[1]), ...directories.flatMap((d) => [d[1], d[2]])];
          if (lengths.some(({ length }) => length !== 32)) return "refused";
          return [
            ...files.map(([text, id]) => [fromText(text), checksumOf(id)]),
            ...directories.map(([text, a, b]) => [fromText(text), checksumOf(a), checksumOf(b)]),
          ];
        });
        const own = outcome(() => {
          if (bytes.length === 0) return "refused";
          const buffer = Buffer.from(bytes);
          const id = (at: number) => buffer.toString("hex", at, at + 32);
          const rows: unknown[] = [];
          visitDirTree(buffer, 0, buffer.length, {
            file: (start, end, file) => rows.push([dirTreeName(buffer, start, end), id(file)]),
            directory: (start, end, tree, meta) =>
              rows.push([dirTreeName(buffer, start, end), id(tree), id(meta)]),
          });
          return rows;
        });
        expect(own).toEqual(general as never);
      }),
      { numRuns: 600 },
    );
  });

  test("headers of files", () => {
    const xattr = fc.tuple(fc.constantFrom("user.a\0", "user.b\0"), fc.constantFrom("", "value"));
    const header = fc.record({
      uid: fc.nat(),
      gid: fc.nat(),
      mode: fc.constantFrom(0o100644, 0o104755),
      target: fc.constant(""),
      xattrs: fc
        .uniqueArray(xattr, { selector: ([n]) => n })
        .map((l) => l.sort(([a], [b]) => (a < b ? -1 : 1))),
    });
    fc.assert(
      fc.property(header, fc.nat(), changes, (value, size, edits) => {
        const right = encodeArchiveHeader(value, size);
        expect(parseArchiveHeader(right)).toEqual({ header: value, size });
        const bytes = new Uint8Array([...right.subarray(0, 8), ...damaged(right.subarray(8), edits, 0)]);
        const own = outcome(() => parseArchiveHeader(bytes));
        const general = outcome(() => readGVariant("(tuuuusa(ayay))", bytes.subarray(8)));
        // The other way round, values may be impossible.
        if (own !== "refused") {
          expect(general).not.toBe("refused");
          expect(encodeArchiveHeader(own.header, own.size)).toEqual(bytes);
        }
      }),
      { numRuns: 600 },
    );
  });
});

test("checksums are bytes and hex", () => {
  fc.assert(fc.property(checksum, (bytes) => expect(checksumBytes(checksumOf(bytes))).toEqual(bytes)));
});
