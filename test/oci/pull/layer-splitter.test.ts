import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import type { Compression } from "../../../src/compress/sync.ts";
import { CfsError } from "../../../src/errors.ts";
import { parseDigest } from "../../../src/oci/digest.ts";
import { readLayerEntries } from "../../../src/oci/layer-entries.ts";
import { type SplitResult, splitLayers } from "../../../src/oci/pull/layer-job.ts";
import { createSlabs } from "../../../src/parallel/slabs.ts";
import { ObjectStore } from "../../../src/repository/objects.ts";
import { fileSource } from "../../../src/repository/streams.ts";
import { SplitstreamReader } from "../../../src/splitstream/reader.ts";
import { Fd } from "../../../src/sys/fd.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../../src/sys/file.ts";
import { type Algorithm, SHA256, SHA512 } from "../../../src/verity/digest.ts";
import { fsVerityDigest } from "../../../src/verity/merkle.ts";
import { directory, file, noise, type TarItem, writeTar } from "../../support/tar-writer.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";

const MiB = 1024 * 1024;

const sha256 = (data: Uint8Array) => parseDigest(`sha256:${createHash("sha256").update(data).digest("hex")}`);

const COMPRESS: Record<Compression, (data: Uint8Array) => Uint8Array> = {
  none: (data) => data,
  gzip: (data) => Bun.gzipSync(new Uint8Array(data), { level: 1 }),
  zstd: (data) => zstdCompressSync(data),
};

interface Split {
  readonly store: ObjectStore;
  readonly reader: SplitstreamReader;
  readonly result: SplitResult;
}

/** Splits a tar in this thread, and gives what came out to `look`. */
function split(
  tar: Uint8Array,
  compression: Compression,
  algorithm: Algorithm,
  look: (split: Split, folder: TempDir) => void,
  blob = COMPRESS[compression](tar),
): void {
  using folder = tempDir();
  writeFileSync(folder.join("blob"), blob);
  using input = open(folder.join("blob"), O_RDONLY);
  using repository = open(folder.path, O_RDONLY | O_DIRECTORY);
  const handle = { repositoryFd: repository.fd, algorithm, verity: "try" } as const;
  const results: SplitResult[] = [];
  splitLayers(
    {
      store: handle,
      slabs: createSlabs(1),
      owner: 0,
      layers: [
        {
          kind: "tar",
          blob: { fd: input.fd, offset: 0, size: blob.length, digest: sha256(blob), compression },
          id: sha256(tar),
          label: "test",
        },
      ],
      progress: new SharedArrayBuffer(8),
    },
    (result) => results.push(result),
  );
  const [result] = results;
  using entries = new Fd(result!.split.entries!.fd, "entries");
  void entries;
  const store = new ObjectStore(handle);
  using object = store.open(result!.split.id);
  look({ store, reader: new SplitstreamReader(fileSource(object), algorithm), result: result! }, folder);
  store.close();
}

/** The stream put together again; every object is checked against its name. */
function rebuild({ store, reader }: Split, algorithm: Algorithm): Buffer {
  const parts: Uint8Array[] = [];
  for (const chunk of reader.chunks()) {
    if ("inline" in chunk) parts.push(chunk.inline.slice());
    else {
      const data = store.read(chunk.object, 1 << 30);
      expect(fsVerityDigest(data, algorithm)).toBe(chunk.object);
      expect(data.length).toBeGreaterThan(64);
      parts.push(data);
    }
  }
  return Buffer.concat(parts);
}

/** Sizes around everything that is decided by size: inline, block, slab, and pieces of large files. */
const SIZES = [
  0,
  1,
  63,
  64,
  65,
  511,
  512,
  513,
  4095,
  4096,
  4097,
  MiB - 1,
  MiB,
  MiB + 1,
  2 * MiB - 512,
  2 * MiB,
  5 * MiB + 17,
];

const everySize: TarItem[] = [
  directory("data"),
  ...SIZES.map((size, i) => file(`data/${size}`, noise(size, i + 1))),
  file("data/again", noise(4097, SIZES.indexOf(4097) + 1)),
  ...Array.from({ length: 3000 }, (_, i) => file(`data/small-${i}`, noise(40 + (i % 60), i))),
];

describe("a layer with files of every size", () => {
  const tar = writeTar(everySize);
  for (const compression of ["none", "gzip", "zstd"] as const) {
    for (const algorithm of [SHA256, SHA512]) {
      test(`${compression}, ${algorithm.hash}`, () => {
        split(tar, compression, algorithm, (made) => {
          expect(made.reader.streamSize).toBe(BigInt(tar.length));
          expect(Buffer.compare(rebuild(made, algorithm), tar)).toBe(0);
          const { statistics } = made.result.split;
          const external = everySize.filter(({ body }) => body !== undefined && body.length > 64);
          expect(statistics.newObjects + statistics.presentObjects).toBe(external.length);
          expect(statistics.newObjects).toBe(made.reader.objectRefs.length);
          const externalBytes = external.reduce((sum, { body }) => sum + body!.length, 0);
          expect(statistics.inlinedBytes).toBe(tar.length - externalBytes);
        });
      });
    }
  }
});

test("the entries name the same files with the same content", () => {
  split(writeTar(everySize), "zstd", SHA256, ({ reader, result }) => {
    const { entries, externals } = result.split;
    const found = [...readLayerEntries(entries!, externals, reader.objectRefs)].length;
    expect(found).toBe(everySize.length);
    let at = 0;
    for (const { entry, content } of readLayerEntries(entries!, externals, reader.objectRefs)) {
      const item = everySize[at++]!;
      expect(entry.path).toBe(item.path);
      if (item.body === undefined) expect(content).toBeUndefined();
      else if (content?.type === "object") expect(content.id).toBe(fsVerityDigest(item.body, SHA256));
      else expect(content?.data).toBe(Buffer.from(item.body).toString("latin1"));
    }
  });
});

test("any layer comes back as it was", () => {
  const sizes = fc.oneof(fc.nat(200), fc.nat(10_000), fc.constantFrom(...SIZES), fc.nat(3 * MiB));
  fc.assert(
    fc.property(fc.array(sizes, { maxLength: 12 }), fc.nat(5000), (list, trailing) => {
      const items = list.map((size, i) => file(`f${i}`, noise(size, size + i)));
      const tar = Buffer.concat([writeTar(items), noise(trailing, 9)]);
      split(tar, "none", SHA256, (made) => expect(Buffer.compare(rebuild(made, SHA256), tar)).toBe(0));
    }),
    { numRuns: 25 },
  );
});

describe("what is refused", () => {
  const tar = writeTar([
    file("a", noise(100_000, 1)),
    file("large", noise(3 * MiB, 2)),
    file("z", noise(70, 3)),
  ]);
  const refuse = (
    name: string,
    message: RegExp,
    blob: Uint8Array,
    plain = tar,
    compression: Compression = "gzip",
  ) =>
    test(name, () => {
      const open = () => readdirSync("/proc/self/fd").length;
      const before = open();
      let error: unknown;
      try {
        split(plain, compression, SHA256, () => {}, blob);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(CfsError);
      expect(String((error as Error).cause ?? error)).toMatch(message);
      expect(open()).toBe(before);
    });
  const gz = COMPRESS.gzip(tar);
  refuse("gzip that ends early", /too early|unexpected EOF/, gz.subarray(0, gz.length - 1000));
  refuse("a tar that ends inside a body", /unexpected EOF/, COMPRESS.gzip(tar.subarray(0, 50_000)));
  refuse(
    "a tar that ends inside a large body",
    /unexpected EOF/,
    COMPRESS.gzip(tar.subarray(0, 2 * MiB + 99)),
  );
  refuse(
    "another tar than the diff ID says",
    /has incorrect checksum: computed sha256:/,
    COMPRESS.gzip(writeTar([file("b", "x")])),
  );
  refuse(
    "a header with a wrong checksum",
    /checksum/,
    Buffer.concat([tar.subarray(0, 20), Buffer.from("?"), tar.subarray(21)]),
    tar,
    "none",
  );
  refuse(
    "a size that no archive can hold",
    /unexpected EOF|invalid/,
    COMPRESS.gzip(writeTar([file("huge", "", { claimedSize: 1n << 60n })])),
  );
});
