import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseTimestamp } from "../../src/ostree/commit/timestamp.ts";
import { parseVariantText } from "../../src/ostree/commit/variant-text.ts";
import { hexOf } from "../../src/ostree/commit-text.ts";
import { readGVariant } from "../../src/ostree/gvariant.ts";

describe("times", () => {
  const good: [string, bigint][] = [
    ["0", 0n],
    ["@1577836800", 1577836800n],
    ["18446744073709551615", 2n ** 64n - 1n],
    ["2020-01-01T00:00:00Z", 1577836800n],
    ["2020-01-01 00:00:00 +0000", 1577836800n],
    ["2020-01-01t02:30:00.999+02:30", 1577836800n],
    ["2019-12-31T19:00:00-05:00", 1577836800n],
    ["2016-12-31T23:59:60Z", 1483228800n],
    ["1970-01-01T00:00:00Z", 0n],
    ["9999-12-31T23:59:59Z", 253402300799n],
  ];
  test.each(good)("%s", (text, seconds) => expect(parseTimestamp(text, "time")).toBe(seconds));

  const bad = [
    "",
    "now",
    "-1",
    "18446744073709551616",
    "2020-01-01",
    "2020-01-01T00:00:00",
    "1969-12-31T23:59:59Z",
  ];
  const impossible = [
    "2020-02-30T00:00:00Z",
    "2020-13-01T00:00:00Z",
    "2020-01-01T24:00:00Z",
    "2020-01-01T00:60:00Z",
  ];
  test.each([...bad, ...impossible])("%p is refused", (text) => {
    expect(() => parseTimestamp(text, "time")).toThrow("point in time");
  });
});

describe("values in GVariant text format", () => {
  /** What GLib's `g_variant_parse` makes of them: type, and serialised value. */
  const good: [string, string, string][] = [
    ["'x'", "s", "7800"],
    [`"it's \\u00e4\\n"`, "s", "69742773 20c3a40a 00"],
    ["true", "b", "01"],
    ["5", "i", "05000000"],
    ["-5", "i", "fbffffff"],
    ["0x10", "i", "10000000"],
    ["010", "i", "08000000"],
    ["1.5", "d", "000000000000f83f"],
    ["uint64 18446744073709551615", "t", "ffffffffffffffff"],
    ["int16 -32768", "n", "0080"],
    ["byte 0x41", "y", "41"],
    ["double 3", "d", "0000000000000840"],
    ["[1, int64 2]", "ax", "01000000000000000200000000000000"],
    ["[1, 2.5]", "ad", "000000000000f03f0000000000000440"],
    ["[byte 1, 2]", "ay", "0102"],
    ["@as []", "as", ""],
    ["['a', 'bc']", "as", "6100 626300 0205"],
    ["{'a': <1>}", "a{sv}", "6100000000000000 01000000 00 69 02 0f"],
    ["('a', 1, true)", "(sib)", "6100 0000 01000000 01 02"],
    ["(1,)", "(i)", "01000000"],
    ["()", "()", "00"],
    ["<'x'>", "v", "7800 00 73"],
    ["b'a\\377\\n'", "ay", "61ff0a00"],
    ["just 'x'", "ms", "780000"],
    ["@ms nothing", "ms", ""],
    ["[nothing, just byte 7]", "amy", "07 0001"],
    ["{'k', 5}", "{si}", "6b00 0000 05000000 02"],
    ["[[], ['a']]", "aas", "6100 02 0003"],
    ["objectpath '/a/b'", "o", "2f612f6200"],
    ["signature 'a{sv}'", "g", "617b73767d00"],
  ];
  test.each(good)("%s", (text, signature, hex) => {
    const parsed = parseVariantText(text);
    expect(parsed.signature).toBe(signature);
    expect(hexOf(parsed.bytes)).toBe(hex.replaceAll(" ", ""));
    // It is in normal form.
    readGVariant(signature, parsed.bytes);
  });

  const bad = [
    "",
    "foo",
    "[]",
    "{}",
    "nothing",
    "[1, 'a']",
    "(1",
    "(1)",
    "1 2",
    "'x",
    "b'x",
    "2147483648",
    "byte 256",
    "int32 1.5",
    "@i 'x'",
    "@zz 1",
    "@",
    "1_000",
    "08",
    "0x",
    "'\\u12'",
    "'\\ud800'",
    "objectpath 'a'",
    "signature 'z'",
    "<1",
    "{'a': 1, 'b'}",
    "[1,]",
    "string 'a\\u0000b'",
    `${"[".repeat(100)}`,
    "@(i 1",
    "just",
  ];
  test.each(bad)("%p is refused", (text) => {
    expect(() => parseVariantText(text)).toThrow();
  });

  test("anything is either read or refused with an explanation", () => {
    const piece = fc.constantFrom(
      ...[..."[](){}<>,:@'\"\\ 019.-+", "int64 ", "@as ", "just ", "b'", "true", "'k'"],
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        try {
          const parsed = parseVariantText(pieces.join(""));
          readGVariant(parsed.signature, parsed.bytes);
        } catch (error) {
          expect((error as Error).name).toBe("CfsError");
        }
      }),
      { numRuns: 3000 },
    );
  });
});
