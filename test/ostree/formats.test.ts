import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type ByteString, bytesOf } from "../../src/bytes.ts";
import { type Checksum, computeChecksum } from "../../src/ostree/checksum.ts";
import { CommitStreamWriter } from "../../src/ostree/commit-stream-writer.ts";
import { CommitTable, IMAGE_REF, readCommitTable } from "../../src/ostree/commit-table.ts";
import {
  archiveHeaderLength,
  encodeArchiveHeader,
  FileHasher,
  parseArchiveHeader,
} from "../../src/ostree/file-header.ts";
import {
  encodeCommit,
  encodeDirMeta,
  encodeDirTree,
  parseCommit,
  parseDirMeta,
  parseDirTree,
} from "../../src/ostree/objects.ts";
import { memorySource, SplitstreamReader } from "../../src/splitstream/reader.ts";
import { algorithmOf, type ObjectId } from "../../src/verity/digest.ts";
import { PROJECT } from "../support/project.ts";

const FIXTURES = join(PROJECT, "fixtures/ostree");

interface RecordedObject {
  readonly type: "commit" | "dirtree" | "dirmeta" | "filez";
  readonly checksum: Checksum;
  readonly hex: string;
  readonly [field: string]: unknown;
}

const objects = JSON.parse(readFileSync(join(FIXTURES, "objects.json"), "utf8")) as RecordedObject[];
const bytesOfHex = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));
const hexOf = (bytes: ByteString) => Buffer.from(bytesOf(bytes)).toString("hex");
const named = (type: string) =>
  objects.filter((o) => o.type === type).map((o) => [o.checksum.slice(0, 12), o] as const);

describe("objects of libostree", () => {
  test.each(named("commit"))("commit %s", (_, object) => {
    const bytes = bytesOfHex(object.hex);
    const commit = parseCommit(bytes);
    expect(computeChecksum(bytes)).toBe(object.checksum);
    expect(commit.subject).toBe(object.subject as string);
    expect(commit.body).toBe(object.body as string);
    expect(Number(commit.timestamp)).toBe(object.timestamp as number);
    expect(commit.parent ?? "").toBe(object.parent as Checksum);
    expect(commit.rootTree).toBe(object.root_tree as Checksum);
    expect(commit.rootMeta).toBe(object.root_meta as Checksum);
    expect(encodeCommit(commit)).toEqual(bytes);
  });

  test.each(named("dirtree"))("dirtree %s", (_, object) => {
    const bytes = bytesOfHex(object.hex);
    expect(computeChecksum(bytes)).toBe(object.checksum);
    expect(encodeDirTree(parseDirTree(bytes))).toEqual(bytes);
  });

  test.each(named("dirmeta"))("dirmeta %s", (_, object) => {
    const bytes = bytesOfHex(object.hex);
    const meta = parseDirMeta(bytes);
    expect(computeChecksum(bytes)).toBe(object.checksum);
    expect(encodeDirMeta(meta)).toEqual(bytes);
  });
});

describe.each(["sha256", "sha512"] as const)("commit streams of composefs-rs, %s", (hash) => {
  const algorithm = algorithmOf(hash);
  test.each(["c1", "c2"])("%s is read, and written with the same bytes", (name) => {
    const bytes = new Uint8Array(readFileSync(join(FIXTURES, `streams/${name}-${hash}.splitstream`)));
    const content = gunzipSync(readFileSync(join(FIXTURES, `streams/${name}-${hash}.content.gz`)));
    const reader = new SplitstreamReader(memorySource(bytes), algorithm);
    const table = readCommitTable(reader);
    expect(Buffer.compare(table.bytes, content)).toBe(0);
    const writer = new CommitStreamWriter(algorithm);
    for (let i = table.length - 1; i >= 0; i--)
      writer.add(table.checksumAt(i), table.dataAt(i), table.externalAt(i));
    const finished = writer.finish(table.commit);
    expect(Buffer.compare(finished.table.bytes, content)).toBe(0);
    expect(Buffer.compare(finished.withImage(reader.namedRefs.get(IMAGE_REF)!), bytes)).toBe(0);
  });

  test("what is taken from other commits is the same as what is added", () => {
    const file = (i: number) => new Uint8Array(Buffer.alloc(1000, `file ${i} `));
    const checksums = Array.from({ length: 300 }, (_, i) => computeChecksum(file(i)));
    const id = (i: number) => checksums[i]!.repeat(algorithm.size / 32) as ObjectId;
    const write = (all: number[], bases: readonly { table: CommitTable; marks: Uint8Array }[]) => {
      const writer = new CommitStreamWriter(algorithm);
      writer.add(checksums[0]!, file(0));
      for (const { table, marks } of bases) writer.addMarked(table, marks);
      for (const i of all) writer.add(checksums[i]!, file(i), i % 3 === 0 ? id(i) : undefined);
      return writer.finish(checksums[0]!);
    };
    const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
    const [first, second] = [write(numbers(1, 200), []).table, write(numbers(100, 290), []).table];
    const mark = (table: CommitTable, isMarked: (i: number) => boolean) =>
      Uint8Array.from({ length: table.length }, (_, i) => (isMarked(i) ? 3 : 0));
    const bases = [
      { table: first, marks: mark(first, () => true) },
      { table: second, marks: mark(second, (i) => i % 2 === 0) },
    ];
    const whole = write(numbers(1, 300), []);
    const shared = write(numbers(1, 300), bases);
    expect(Buffer.compare(shared.withoutImage(), whole.withoutImage())).toBe(0);
  });

  test("files have headers that are written as they were", () => {
    const bytes = new Uint8Array(readFileSync(join(FIXTURES, `streams/c1-${hash}.splitstream`)));
    const table = readCommitTable(new SplitstreamReader(memorySource(bytes), algorithm));
    let files = 0;
    for (const { checksum, type, ...fields } of objects) {
      if (type !== "filez") continue;
      files++;
      const stored = table.find(checksum)!;
      const length = archiveHeaderLength(stored.data);
      const { header, size } = parseArchiveHeader(stored.data.subarray(0, length));
      expect(encodeArchiveHeader(header, size)).toEqual(bytesOfHex(fields.header_hex as string));
      expect(size).toBe(fields.size as number);
      expect(header.target).toBe(fields.target as string);
      expect(header.xattrs.map((pair) => pair.map(hexOf))).toEqual(fields.xattrs as string[][]);
      if (stored.external !== undefined) continue;
      const hasher = new FileHasher(header);
      hasher.update(stored.data.subarray(length));
      expect(hasher.digest()).toBe(checksum);
    }
    expect(files).toBe(43);
  });
});

test("a table whose parts are not where they have to be is refused", () => {
  const bytes = new Uint8Array(readFileSync(join(FIXTURES, "streams/c1-sha256.splitstream")));
  const {
    bytes: table,
    objects: ids,
    length,
  } = readCommitTable(new SplitstreamReader(memorySource(bytes), algorithmOf("sha256")));
  const changed = (at: number, value: number) => {
    const copy = Buffer.from(table);
    copy.writeUInt32LE(value, at);
    return copy;
  };
  expect(() => new CommitTable(changed(0, length), ids)).toThrow("commit id out of bounds");
  expect(() => new CommitTable(changed(8, 1000), ids)).toThrow("Invalid commit bucket data");
  expect(() => new CommitTable(table.subarray(0, 1032 + 44 * length - 1), ids)).toThrow("ends inside");
  const entry = 1032 + 32 * length;
  expect(() => new CommitTable(changed(entry, 0x0fffffff), ids).dataAt(0)).toThrow("out of bounds");
  expect(() => new CommitTable(changed(entry + 8, 99), ids).externalAt(0)).toThrow("out of range");
});
