import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkCommits } from "../../src/ostree/fsck.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { commitStreamName } from "../../src/ostree/names.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { buildRecordedTree } from "../../src/ostree/recorded-image.ts";
import { openResolvedCommit, resolveCommit } from "../../src/ostree/resolve.ts";
import { listCommitRefs, openCommit, writeCommitRef } from "../../src/ostree/stored-commit.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { CONTENT_OSTREE_COMMIT } from "../../src/splitstream/format.ts";
import { memorySource, SplitstreamReader } from "../../src/splitstream/reader.ts";
import { SplitstreamWriter, toBytes } from "../../src/splitstream/writer.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import type { ObjectId } from "../../src/verity/digest.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { ArchiveMaker } from "./archive-maker.ts";
import { newRepository, unpackRepository } from "./support.ts";

let sources: TempDir;
beforeAll(() => {
  sources = tempDir();
  unpackRepository("archive", sources.path);
});
afterAll(() => sources[Symbol.dispose]());

async function pull(repository: Repository, options: { cleanXattrNames?: boolean } = {}) {
  await using source = LocalRepository.open(sources.join("archive"));
  return await pullCommit(repository, source, await source.resolveRef("test/main"), {
    ...options,
    ref: "main",
  });
}

const pathOf = (repository: Repository, id: ObjectId) =>
  join(repository.path, "objects", id.slice(0, 2), id.slice(2));

type Damage = (repository: Repository, stored: ReturnType<typeof openResolvedCommit>) => void;

const DAMAGES: readonly (readonly [what: string, damage: Damage, said: RegExp])[] = [
  [
    "content with another byte",
    (repository, { table }) => {
      const path = pathOf(repository, table.objects.at(0));
      const bytes = readFileSync(path);
      bytes[0]! ^= 1;
      unlinkSync(path);
      writeFileSync(path, bytes);
    },
    /file [0-9a-f]{64} has the checksum/,
  ],
  [
    "content that is missing",
    (repository, { table }) => unlinkSync(pathOf(repository, table.objects.at(0))),
    /is missing from the repository/,
  ],
  [
    "an image that is missing",
    (repository, { image }) => unlinkSync(pathOf(repository, image!)),
    /the image [0-9a-f]{64} is missing/,
  ],
  [
    "a stream that is missing",
    (repository, { commit }) => unlinkSync(join(repository.path, "streams", commitStreamName(commit))),
    /stream 'ostree-commit-[0-9a-f]{64}' is missing/,
  ],
  [
    "a stream with a byte that is no part of any object",
    (repository, { commit, stream, table }) => {
      const reader = new SplitstreamReader(
        memorySource(new Uint8Array(readFileSync(pathOf(repository, stream)))),
        repository.algorithm,
      );
      const writer = new SplitstreamWriter(repository.algorithm, CONTENT_OSTREE_COMMIT);
      for (const id of reader.objectRefs) writer.addObject(id);
      for (const [name, id] of reader.namedRefs) writer.addNamedRef(name, id);
      const bytes = Buffer.from(table.bytes);
      bytes.writeUInt32LE(1, 4);
      writer.inline(bytes);
      const { id } = repository.objects.storeBytes(toBytes(writer.finish()));
      const link = join(repository.path, "streams", commitStreamName(commit));
      rmSync(link);
      symlinkSync(`../objects/${id.slice(0, 2)}/${id.slice(2)}`, link);
    },
    /not what its objects give/,
  ],
];

describe("damage is found, and mended by the next pull", () => {
  test.each(DAMAGES)("%s", async (what, damage, said) => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), "sha256");
    const { commit } = await pull(repository);
    expect((await checkCommits(repository)).faults).toEqual([]);
    damage(repository, openCommit(repository, commit)!);
    const { commitsChecked, commitsCorrupted, faults } = await checkCommits(repository);
    expect([commitsChecked, commitsCorrupted]).toEqual([1, 1]);
    expect(faults[0]!.refs).toEqual(["main"]);
    expect(faults[0]!.what).toMatch(said);
    // Content is not read again by a pull: only fs-verity or fsck see that it changed.
    if (what === "content with another byte") return;
    await pull(repository);
    if (!what.startsWith("a stream with")) expect((await checkCommits(repository)).faults).toEqual([]);
  });
});

test("what is wrong with very many files is also said of the other commits that have them", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  const made = new ArchiveMaker(directory.join("archive"));
  const contents = Array.from({ length: 250 }, (_, i) => Buffer.alloc(100, `content ${i}`));
  const all = made.commit("all", Object.fromEntries(contents.map((content, i) => [`${i}`, content])));
  // Those that are checked last.
  const last = contents.sort((a, b) => (made.file(a) < made.file(b) ? 1 : -1)).slice(0, 6);
  const others = last.map((content, i) => made.commit(`${i}`, { file: content }));
  await using source = LocalRepository.open(made.path);
  for (const commit of [all, ...others]) await pullCommit(repository, source, commit, { jobs: 1 });
  const { objects } = openCommit(repository, all)!.table;
  for (let i = 0; i < objects.length; i++) unlinkSync(pathOf(repository, objects.at(i)));
  const { commitsChecked, commitsCorrupted, faults } = await checkCommits(
    repository,
    undefined,
    undefined,
    1,
  );
  expect([commitsChecked, commitsCorrupted]).toEqual([7, 7]);
  expect(new Set(faults.map(({ commit }) => commit)).size).toBe(7);
});

test("names of xattrs without NUL, and back", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  const dump = () =>
    [...dumpTree(buildRecordedTree(repository, openResolvedCommit(repository, "main")))].join("");
  const first = await pull(repository);
  expect(first.hasXattrs).toBe(true);
  expect(dump()).toContain("user.a\\x00=1");
  const clean = await pull(repository, { cleanXattrNames: true });
  expect(clean.files).toBe(0);
  expect(clean.image).not.toBe(first.image);
  expect(dump()).toContain(" user.a=1");
  expect((await checkCommits(repository)).faults).toEqual([]);
});

test("commits are found by name, id and first digits", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  const { commit } = await pull(repository);
  writeCommitRef(repository, "a%b/c", commit);
  for (const text of ["main", "a%b/c", commit, commit.toUpperCase(), "cb7e", "CB"])
    expect(resolveCommit(repository, text)).toBe(commit);
  expect(listCommitRefs(repository).map(({ name }) => name)).toEqual(["a%b/c", "main"]);
  for (const text of ["", "..", "zz", "0000", `${commit}0`])
    expect(() => resolveCommit(repository, text)).toThrow(/not (a known|found)/);
  for (const name of ["", ".", "..", "x".repeat(256), "a\0b"])
    expect(() => writeCommitRef(repository, name, commit)).toThrow("name");
});
