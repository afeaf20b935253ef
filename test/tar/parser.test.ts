import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import tarStream from "tar-stream";
import { byteString, bytesOf } from "../../src/bytes.ts";
import { CfsError, describeError } from "../../src/errors.ts";
import type { TarEntry } from "../../src/tar/entry.ts";
import { TarParser } from "../../src/tar/parser.ts";
import { readLayer } from "../../src/tar/read-back.ts";
import { parseInBodyMap } from "../../src/tar/sparse.ts";
import { END, header, member, paxHeader, splitTar } from "./split.ts";

function archive(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat([...parts, END]));
}

function entriesOf(tar: Uint8Array): readonly TarEntry[] {
  return splitTar(tar, 4096).entries;
}

function errorOf(tar: Uint8Array): string {
  try {
    splitTar(tar, 4096);
  } catch (error) {
    if (error instanceof CfsError) return describeError(error);
    throw error;
  }
  return "";
}

describe("fields", () => {
  const file = member({ name: "f" });
  test.each([
    ["negative pax time", paxHeader([["mtime", "-1"]]), { mtime: -1n, mtimeNsec: 0 }],
    ["negative with a fraction", paxHeader([["mtime", "-1.25"]]), { mtime: -2n, mtimeNsec: 750_000_000 }],
    ["just before 1970", paxHeader([["mtime", "-0.5"]]), { mtime: -1n, mtimeNsec: 500_000_000 }],
    ["short fraction", paxHeader([["mtime", "3.07"]]), { mtime: 3n, mtimeNsec: 70_000_000 }],
    ["fraction that is no number", paxHeader([["mtime", "3.x"]]), { mtime: 3n, mtimeNsec: 0 }],
    ["large uid", paxHeader([["uid", "4294967295"]]), { uid: 4294967295 }],
    ["uid beyond 32 bits", paxHeader([["uid", "4294967297"]]), { uid: 1 }],
    ["path and linkpath", paxHeader([["path", "p/q"], ["linkpath", "l"]]), { path: "p/q", linkName: "l" }], // biome-ignore format: a row of a table
  ] as const)("%s", (_, pax, expected) => {
    expect(entriesOf(archive(pax, file))[0]).toMatchObject(expected);
  });

  test("xattr values are bytes", () => {
    const value = byteString(new Uint8Array(Array.from({ length: 256 }, (_, i) => i)));
    const [entry] = entriesOf(archive(paxHeader([["SCHILY.xattr.user.all", value]]), file));
    expect(entry!.xattrs).toEqual(new Map([["user.all", value]]));
  });

  test("overrides hold for one entry only", () => {
    const [first, second] = entriesOf(archive(paxHeader([["path", "other"], ["uid", "7"]]), file, file)); // biome-ignore format: short
    expect([first!.path, first!.uid, second!.path, second!.uid]).toEqual(["other", 7, "f", 0]);
    expect(second!.xattrs.size).toBe(0);
  });
});

describe("sizes that no archive can hold", () => {
  const sizes = [2n ** 53n, 2n ** 60n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 512n];
  test.each(sizes)("%p is reported without allocating", (size) => {
    const parser = new TarParser();
    const before = process.memoryUsage().arrayBuffers;
    const window = new Uint8Array(
      Buffer.concat([paxHeader([["size", String(size)]]), header({ name: "f" })]),
    );
    const step = parser.step(window, 0, window.length, false);
    if (step.kind !== "entry") throw new Error(`unexpected ${step.kind}`);
    expect(step.size).toBe(Number.MAX_SAFE_INTEGER);
    expect(step.external).toBe(true);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1024 * 1024);
    expect(errorOf(window)).toBe("unexpected EOF reading tar entry");
  });
  test.each([2n ** 64n - 511n, 2n ** 64n - 1n])("%p is refused", (size) => {
    expect(errorOf(archive(paxHeader([["size", String(size)]]), header({ name: "f" })))).toBe(
      `invalid entry size: ${size}`,
    );
  });
  test("a directory with such a size is skipped until the end", () => {
    const tar = Buffer.concat([paxHeader([["size", String(2n ** 62n)]]), header({ name: "d", type: "5" }), END]); // biome-ignore format: short
    expect(errorOf(new Uint8Array(tar))).toBe("unexpected EOF reading tar entry");
  });
  test("a header that announces more than 1 MiB of metadata is refused before it is there", () => {
    const window = header({ name: "x", type: "x", size: 2 ** 32 });
    expect(() => new TarParser().step(window, 0, window.length, false)).toThrow("metadata exceeds limit");
  });
});

describe("sparse files", () => {
  const body = new Uint8Array(512).fill(1);
  const gnu = (fields: readonly (readonly [number, string])[]) =>
    archive(member({ name: "s", type: "S", magic: "ustar  \0", raw: fields }, body));
  const octal = (value: number) => `${value.toString(8).padStart(11, "0")}\0`;

  test("old GNU map", () => {
    const [entry] = entriesOf(
      gnu([
        [386, octal(4096)],
        [398, octal(512)],
        [483, octal(10_000)],
      ]),
    );
    expect(entry).toMatchObject({ type: "file", size: 512 });
    expect(entry!.sparse).toEqual({ realSize: 10_000, runs: [{ offset: 4096, length: 512 }] });
  });

  test("old GNU map that goes on in further blocks", () => {
    const extension = new Uint8Array(512);
    extension.set(bytesOf(octal(8192) + octal(256)), 0);
    const first = header({
      name: "s",
      type: "S",
      magic: "ustar  \0",
      size: 512,
      raw: [[386, octal(0)], [398, octal(256)], [482, "\x01"], [483, octal(9000)]], // biome-ignore format: pairs
    });
    const { entries, chunks } = splitTar(archive(first, extension, body), 1);
    expect(entries[0]!.sparse!.runs).toEqual([
      { offset: 0, length: 256 },
      { offset: 8192, length: 256 },
    ]);
    expect(chunks.map(({ inline, bytes }) => [inline, bytes.length])).toEqual([
      [true, 1024],
      [false, 512],
      [true, 1024],
    ]);
  });

  const v0 = (records: [string, string][]) => archive(paxHeader(records), member({ name: "s" }, body));
  const oneRun: [string, string][] = [
    ["GNU.sparse.size", "4096"],
    ["GNU.sparse.numblocks", "1"],
    ["GNU.sparse.offset", "1024"],
    ["GNU.sparse.numbytes", "512"],
  ];
  test("PAX 0.0", () => {
    expect(entriesOf(v0(oneRun))[0]!.sparse).toEqual({ realSize: 4096, runs: [{ offset: 1024, length: 512 }] }); // biome-ignore format: short
  });
  test("PAX 0.1, with the real name", () => {
    const [entry] = entriesOf(
      v0([
        ["GNU.sparse.size", "4096"],
        ["GNU.sparse.map", "0,256,1024,256"],
        ["GNU.sparse.name", "real"],
        ["path", "GNUSparseFile.1/real"],
      ]),
    );
    expect(entry!.path).toBe("real");
    expect(entry!.sparse!.runs).toEqual([
      { offset: 0, length: 256 },
      { offset: 1024, length: 256 },
    ]);
  });
  test("PAX 1.0: the map is in the body", () => {
    const [entry] = entriesOf(
      v0([
        ["GNU.sparse.major", "1"],
        ["GNU.sparse.minor", "0"],
        ["GNU.sparse.realsize", "9999"],
      ]),
    );
    expect(entry!.sparse).toEqual({ realSize: 9999, runs: "in-body" });
    const map = new Uint8Array(1024);
    map.set(bytesOf("2\n0\n100\n5000\n412\n"));
    expect(parseInBodyMap(map, 9999, 1024)).toEqual({
      dataOffset: 512,
      runs: [
        { offset: 0, length: 100 },
        { offset: 5000, length: 412 },
      ],
    });
  });
  test.each([
    ["overlapping data", "100,300,200,212"],
    ["data behind the end", "4000,512"],
    ["less data than stored", "0,100"],
    ["an offset without size", "0,512,1024"],
    ["no number", "0,x"],
    ["an enormous offset", "18446744073709551615,512"],
  ])("refused: %s", (_, map) => {
    expect(errorOf(v0([["GNU.sparse.size", "4096"], ["GNU.sparse.map", map]]))).not.toBe(""); // biome-ignore format: short
  });
  test("refused: more than 10,000 runs", () => {
    const map = Array.from({ length: 10_001 }, () => "0,0").join(",");
    expect(errorOf(v0([["GNU.sparse.size", "4096"], ["GNU.sparse.map", map]]))).toBe("sparse map has too many entries"); // biome-ignore format: short
  });
  test("refused: a map in the body with a forged count", () => {
    const map = new Uint8Array(512);
    map.set(bytesOf("99999999999\n0\n1\n"));
    expect(() => parseInBodyMap(map, 10, 512)).toThrow("too many");
  });
});

describe("random archives", () => {
  const name = fc.stringMatching(/^[a-z]{1,12}(\/[a-z]{1,60}){0,3}$/);
  const file = fc.record({
    name,
    body: fc.uint8Array({ maxLength: 1500 }),
    mode: fc.integer({ min: 1, max: 0o7777 }),
  });

  test("tar-stream sees the same entries and bodies", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(file, { maxLength: 8 }),
        fc.integer({ min: 1, max: 5000 }),
        async (files, windowStep) => {
          // biome-ignore format: short
          const pack = tarStream.pack();
          const written: Buffer[] = [];
          const done = (async () => {
            for await (const chunk of pack) written.push(chunk as Buffer);
          })();
          for (const { name, body, mode } of files)
            pack.entry({ name, mode, mtime: new Date(1234567 * 1000) }, Buffer.from(body));
          pack.finalize();
          await done;
          const tar = new Uint8Array(Buffer.concat(written));
          const split = splitTar(tar, windowStep);
          expect(split.entries.map(({ path, size, mode, mtime }) => ({ path, size, mode, mtime }))).toEqual(
            files.map((f) => ({ path: f.name, size: f.body.length, mode: f.mode, mtime: 1234567n })),
          );
          expect(Buffer.concat(split.chunks.map(({ bytes }) => bytes)).equals(tar)).toBe(true);
          const external = files.filter(({ body }) => body.length > 64);
          expect(split.chunks.filter(({ inline }) => !inline).map(({ bytes }) => byteString(bytes))).toEqual(
            external.map(({ body }) => byteString(body)),
          );

          const seen: { name: string; body: string }[] = [];
          const extract = tarStream.extract();
          extract.on("entry", (entryHeader, stream, next) => {
            const parts: Buffer[] = [];
            stream.on("data", (part) => void parts.push(part as Buffer));
            stream.on("end", () => {
              seen.push({ name: entryHeader.name, body: byteString(Buffer.concat(parts)) });
              next();
            });
          });
          extract.end(Buffer.from(tar));
          await new Promise<void>((resolve) => extract.on("finish", () => resolve()));
          const bodies: { name: string; body: string }[] = [];
          const chunks = split.chunks.map(({ inline, bytes }) => (inline ? { inline: bytes } : { object: byteString(bytes) })); // biome-ignore format: short
          for (const { entry, inline, object } of readLayer(chunks as Parameters<typeof readLayer>[0]))
            bodies.push({ name: entry.path, body: object ?? byteString(inline) });
          expect(bodies).toEqual(seen);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("damaged archives give a result or an error, and never lose a byte", () => {
    const base = archive(
      paxHeader([["path", "x".repeat(200)], ["mtime", "1.5"], ["SCHILY.xattr.user.a", "1"]]), // biome-ignore format: short
      member({ name: "a" }, new Uint8Array(100).fill(65)),
      member({ name: "L", type: "L", magic: "ustar  \0" }, bytesOf(`${"n".repeat(120)}\0`)),
      member({ name: "b" }, new Uint8Array(10)),
      member({ name: "d", type: "5" }),
      member({ name: "h", type: "1", link: "a" }),
    );
    const change = fc.tuple(fc.nat(base.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(base.length), (changes, cut) => {
        const tar = base.slice(0, cut % 3 === 0 ? cut : base.length);
        for (const [at, value] of changes) tar[at] = value;
        fixChecksums(tar);
        let split: ReturnType<typeof splitTar>;
        try {
          split = splitTar(tar, 512);
        } catch (error) {
          expect(error).toBeInstanceOf(CfsError);
          return;
        }
        expect(Buffer.concat(split.chunks.map(({ bytes }) => bytes)).equals(tar)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

/** Makes changed headers pass, so that what comes behind the checksum is tried too. */
function fixChecksums(tar: Uint8Array): void {
  for (let at = 0; at + 512 <= tar.length; at += 512) {
    const block = tar.subarray(at, at + 512);
    if (block.every((byte) => byte === 0)) continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.set(bytesOf(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
  }
}

describe("streams that are not split as they must be", () => {
  const small = member({ name: "s" }, new Uint8Array(10));
  const large = member({ name: "l" }, new Uint8Array(100));
  const id = "00".repeat(32) as never;
  test.each([
    ["a large file inline", [{ inline: large }], "Splitstream incorrectly stored a large file inline: l"],
    [
      "a small file external",
      [{ inline: small.slice(0, 512) }, { object: id }],
      "Splitstream incorrectly stored",
    ],
    ["a header external", [{ object: id }], "Splitstream incorrectly stored a header external"],
    ["the end inside a body", [{ inline: header({ name: "l", size: 100 }) }], "Splitstream incorrectly stored a large file inline"], // biome-ignore format: a row of a table
  ])("%s", (_, chunks, message) => {
    expect(() => [...readLayer(chunks)]).toThrow(message);
  });
});
