import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { CfsError, kindOf } from "../../src/errors.ts";
import { checkCommits } from "../../src/ostree/fsck.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { openCommit } from "../../src/ostree/stored-commit.ts";
import { buildCommitTree } from "../../src/ostree/tree.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import type { HashName } from "../../src/verity/digest.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { fixtureJson, newRepository, unpackRepository } from "./support.ts";

interface Recorded {
  readonly case: string;
  readonly stdout: string;
  readonly dump?: string;
}

/** What is unusual, but means the same to everybody. Anything else but the good one has to be refused. */
const ACCEPTED = new Set([
  "00-good",
  "16-filez-trailing-garbage",
  "22-name-unsorted",
  "32-symlink-empty-target",
  "34-xattr-no-nul",
  "37-dirtree-missing-offsets",
  "40-timestamp-huge",
  "41-timestamp-y9999",
  "42-same-dirtree-twice",
  "43-parent-set",
  "44-zero-size-dirtree",
  "45-nonzero-filez-for-empty",
  "46-empty-no-deflate",
]);

const HASHES: HashName[] = ["sha256", "sha512"];
const recordedOf = (hash: HashName) => fixtureJson<Recorded[]>(`transcripts/bad-${hash}.json`);
let sources: TempDir;
beforeAll(() => {
  sources = tempDir();
  unpackRepository("bad", sources.path);
});
afterAll(() => sources[Symbol.dispose]());

async function pullMain(name: string, hash: HashName, jobs: number) {
  const directory = tempDir();
  const repository = newRepository(directory.join("repo"), hash);
  const pull = async () => {
    await using source = LocalRepository.open(sources.join("bad", name));
    return await pullCommit(repository, source, await source.resolveRef("main"), { ref: "main", jobs });
  };
  return { directory, repository, pull };
}

describe.each(HASHES)("accepted, with the result of composefs-rs, %s", (hash) => {
  test.each(recordedOf(hash).filter((r) => ACCEPTED.has(r.case)))("$case", async (reference) => {
    const { directory, repository, pull } = await pullMain(reference.case, hash, 1);
    using _directory = directory;
    using _repository = repository;
    const { commit, verity, image } = await pull();
    expect(reference.stdout).toContain(`commit  ${commit}\nverity  ${verity}\nimage   ${image}\n`);
    const { root } = buildCommitTree(openCommit(repository, commit)!.table, commit);
    expect([...dumpTree(root)].join("")).toBe(reference.dump!);
    expect((await checkCommits(repository)).faults).toEqual([]);
  });
});

describe.each(HASHES)("refused, twice, and nothing is linked, %s", (hash) => {
  test.each(recordedOf(hash).filter((r) => !ACCEPTED.has(r.case)))("$case", async (reference) => {
    const { directory, repository, pull } = await pullMain(reference.case, hash, 1);
    using _directory = directory;
    using _repository = repository;
    for (let attempt = 0; attempt < 2; attempt++) {
      const error: unknown = await pull().catch((e: unknown) => e);
      expect(error).toBeInstanceOf(CfsError);
      expect(["Corrupt", "NotFound", "Invalid"]).toContain(kindOf(error)!);
      expect(readdirSync(repository.path)).not.toContain("streams");
      expect(readdirSync(repository.path)).not.toContain("images");
    }
  });
});

test("a failure in another thread is told as it is", async () => {
  const { directory, repository, pull } = await pullMain("01-filez-flip-payload", "sha256", 2);
  using _directory = directory;
  using _repository = repository;
  expect(pull()).rejects.toThrow("file 436f72c147116e0cb034b5a2afbf69d219a9332123f1e89c50cd557d1119a5cb");
});
