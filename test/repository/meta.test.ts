import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import cases from "../../fixtures/repository/cases/meta.json";
import { CfsError, describeError } from "../../src/errors.ts";
import {
  type ErofsVersion,
  effectiveErofsVersion,
  formatMeta,
  newMeta,
  parseAlgorithmId,
  parseMeta,
  type RepositoryMeta,
  unknownWriteFeatures,
} from "../../src/repository/meta.ts";
import { parseStrictJson } from "../../src/repository/strict-json.ts";
import { SHA256, SHA512 } from "../../src/verity/digest.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const parse = (text: string) => parseMeta(bytes(text));

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    expect(error).toBeInstanceOf(CfsError);
    return describeError(error);
  }
  throw new Error("nothing was thrown");
}

describe("meta.json of the vectors", () => {
  const texts = cases.filter((c) => c.meta_json !== undefined && c.inputs === undefined);
  test.each(texts)("$name", ({ meta_json: text, steps }) => {
    const attempt = () => parse(text!);
    if (steps[0]!.rc === 0) expect(attempt().algorithm).toBe(SHA256);
    else expect(attempt).toThrow(CfsError);
  });
});

describe("writing", () => {
  test("has exactly the bytes of the format", () => {
    const text = formatMeta(newMeta(SHA256, 1));
    expect(text).toBe(`{
  "version": 1,
  "algorithm": "fsverity-sha256-12",
  "features": {
    "compatible": [],
    "read-only-compatible": [
      "v1_erofs"
    ],
    "incompatible": []
  },
  "erofs_formats": {
    "default": 1
  }
}
`);
    expect(text.length).toBe(219);
  });

  // MD5 of meta.json in repositories made by composefs-rs 0.9.4.
  test.each([
    [SHA256, 1, "0140a9c2c437044361460ae94fdfad5e"],
    [SHA512, 1, "b3ce16b447df02a498eda3f540660103"],
    [SHA256, 0, "2abf05db3c55415ebdcf93ee1b7745a7"],
    [SHA256, 2, "8641964af810735c5541cabaf4158a2b"],
  ] as const)("%o with EROFS format %d", (algorithm, version, digest) => {
    expect(new Bun.MD5().update(formatMeta(newMeta(algorithm, version))).digest("hex")).toBe(digest);
  });

  test("what was written is read back", () => {
    const names = fc.array(fc.string({ unit: "grapheme" }), { maxLength: 3 });
    const version = fc.constantFrom<ErofsVersion>(0, 1, 2);
    const metas: fc.Arbitrary<RepositoryMeta> = fc.record(
      {
        version: fc.constantFrom(0, 1),
        algorithm: fc.constantFrom(SHA256, SHA512),
        features: fc.record({
          compatible: names,
          readOnlyCompatible: names,
          incompatible: fc.constant([]),
        }),
        erofsFormats: fc.record({
          default: version,
          extra: fc.uniqueArray(version).map((list) => list.sort()),
        }),
      },
      { requiredKeys: ["version", "algorithm", "features"] },
    );
    fc.assert(fc.property(metas, (meta) => expect(parse(formatMeta(meta))).toEqual(meta)));
  });
});

describe("EROFS format", () => {
  const start = '{"version":1,"algorithm":"fsverity-sha256-12"';
  const flag = ',"features":{"read-only-compatible":["v1_erofs"]}';
  test.each([
    [`${start}}`, 2],
    [`${start}${flag}}`, 1],
    [`${start}${flag},"erofs_formats":{"default":2}}`, 1],
    [`${start}${flag},"erofs_formats":{"default":2,"extra":[1]}}`, 2],
    [`${start},"erofs_formats":{"default":1}}`, 1],
    [`${start},"erofs_formats":{"default":0}}`, 0],
    [`${start},"erofs_formats":{"default":1,"extra":[2]}}`, 1],
  ])("%s", (text, version) => {
    expect(effectiveErofsVersion(parse(text))).toBe(version as ErofsVersion);
  });
});

test("unknown read-only-compatible features are told apart from known ones", () => {
  const meta = parse(
    '{"version":1,"algorithm":"fsverity-sha256-12","features":{"read-only-compatible":["v1_erofs","new"]}}',
  );
  expect(unknownWriteFeatures(meta)).toEqual(["new"]);
});

describe("errors name the place", () => {
  test.each([
    ['{\n  "version": 1,\n  "algorithm": "nope"\n}\n', "line 3 column 16: algorithm must start with"],
    [
      '{"version":1,"version":1,"algorithm":"fsverity-sha256-12"}',
      "line 1 column 24: 'version' stands there twice",
    ],
    ['{"version":1.0,"algorithm":"fsverity-sha256-12"}', "line 1 column 12: float found"],
    ['{"version":1,', "line 1 column 14"],
    ['{"version":1,"algorithm":null}', "null found where a string is expected"],
    [`${"[".repeat(200)}`, "nested too deeply"],
  ])("%j", (text, message) => {
    expect(messageOf(() => parse(text))).toContain(message);
  });
});

describe("algorithm ids", () => {
  test.each([
    ["fsverity-sha256-12", SHA256],
    ["fsverity-sha512-12", SHA512],
    ["fsverity-sha512-+12", SHA512],
    ["fsverity-sha512-012", SHA512],
  ])("%s", (text, algorithm) => expect(parseAlgorithmId(text)).toBe(algorithm));

  test.each([
    ["sha256", "algorithm must start with 'fsverity-'"],
    ["fsverity-sha256", "algorithm must be 'fsverity-<hash>-<lg_blocksize>'"],
    ["fsverity-sha256-x", "invalid lg_blocksize 'x'"],
    ["fsverity-sha256-", "invalid lg_blocksize ''"],
    ["fsverity-sha256-300", "invalid lg_blocksize '300'"],
    ["fsverity-sha256-16", "unsupported lg_blocksize 16 (only 12 is currently supported)"],
    ["fsverity-md5-12", "unsupported hash algorithm 'md5' (expected sha256 or sha512)"],
    ["fsverity-a-b-12", "unsupported hash algorithm 'a-b' (expected sha256 or sha512)"],
  ])("%s is refused", (text, message) => {
    expect(messageOf(() => parseAlgorithmId(text))).toBe(message);
  });
});

describe("strict JSON", () => {
  type Parsed = ReturnType<typeof parseStrictJson>;
  const plain = (value: Parsed): unknown => {
    switch (value.kind) {
      case "null":
        return null;
      case "boolean":
      case "string":
        return value.value;
      case "integer":
        return Number(value.value);
      case "float":
        return Number(value.text);
      case "array":
        return value.items.map(plain);
      case "object":
        return Object.fromEntries(value.members.map(({ name, value: member }) => [name, plain(member)]));
    }
  };

  test("agrees with JSON.parse on what JSON.stringify writes", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "grapheme" }), fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(plain(parseStrictJson(bytes(text)))).toEqual(JSON.parse(text));
      }),
    );
  });

  test("accepts no more than JSON.parse, and fails with an error of ours", () => {
    const mutated = fc
      .tuple(fc.jsonValue(), fc.nat(), fc.string({ maxLength: 2 }))
      .map(([value, at, insert]) => {
        const text = JSON.stringify(value);
        const position = at % (text.length + 1);
        return text.slice(0, position) + insert + text.slice(position + (at % 3));
      });
    fc.assert(
      fc.property(fc.oneof(mutated, fc.string()), (text) => {
        try {
          parseStrictJson(bytes(text));
        } catch (error) {
          expect(error).toBeInstanceOf(CfsError);
          return;
        }
        JSON.parse(text);
      }),
      { numRuns: 500 },
    );
  });

  test.each(['"\\ud800"', "-0.", "01", "+1", ".5", "1e", '"\t"', "'a'", "[1,]", "nul", "\ufeff{}", '"\\x"'])(
    "%j is refused",
    (text) => {
      expect(() => parseStrictJson(bytes(text))).toThrow(CfsError);
    },
  );

  test("bytes that are not UTF-8 are refused", () => {
    expect(() => parseStrictJson(new Uint8Array([0x22, 0xff, 0x22]))).toThrow("not UTF-8");
  });
});
