import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type Checksum, computeChecksum } from "../../src/ostree/checksum.ts";
import { checkCommits } from "../../src/ostree/fsck.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { commitStreamName } from "../../src/ostree/names.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { openCommit } from "../../src/ostree/stored-commit.ts";
import { catStream } from "../../src/repository/streams.ts";
import type { HashName } from "../../src/verity/digest.ts";
import { listObjects } from "../support/repository-content.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { FIXTURES, fixtureJson, newRepository, unpackRepository } from "./support.ts";

interface Expected {
  readonly commit: Checksum;
  readonly verity_printed: string;
  readonly image: string;
  readonly objects_line: string;
  readonly final_stream_object: string;
  readonly stream_content_len: number;
  readonly stream_content_sha256: string;
  readonly repo_objects: readonly (readonly [id: string, size: number])[];
}

interface ExpectedFile {
  readonly algorithms: Readonly<
    Record<
      string,
      {
        readonly pull_each_from_empty: Readonly<Record<string, Expected>>;
        readonly erofs_versions: Readonly<Record<string, string>>;
      }
    >
  >;
}

const { algorithms } = fixtureJson<ExpectedFile>("expected.json");
const isRoot = process.getuid?.() === 0;
let sources: TempDir;

beforeAll(() => {
  sources = tempDir();
  for (const name of ["archive", "archive-buo", "bare-user", "bare-user-only", "edges", "roll"]) {
    unpackRepository(name, sources.path);
  }
  if (!isRoot) console.log("skipped: bare and bare-split-xattrs need root");
  else for (const name of ["bare", "bare-split-xattrs"]) unpackRepository(name, sources.path);
});
afterAll(() => sources[Symbol.dispose]());

describe.each(["sha256", "sha512"] as const)("what composefs-rs makes of local repositories, %s", (hash) => {
  const { pull_each_from_empty, erofs_versions } = algorithms[`${hash}-12`]!;
  const cases = Object.entries(pull_each_from_empty).filter(
    ([name]) => isRoot || !/^bare(-split-xattrs)?:/.test(name),
  );

  test.each(cases)("%s", async (name, expected) => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), hash);
    await using source = LocalRepository.open(sources.join(name.split(":")[0]!));
    const report = await pullCommit(repository, source, expected.commit, { jobs: 2 });
    expect<string>(report.verity).toBe(expected.verity_printed);
    expect<string>(report.image).toBe(expected.image);
    expect<string>(report.stream).toBe(expected.final_stream_object);
    expect(`objects ${report.metadata} metadata + ${report.files} files fetched`).toBe(expected.objects_line);
    const content: Uint8Array[] = [];
    catStream(repository, commitStreamName(expected.commit), (piece) => content.push(piece.slice()));
    expect(Buffer.concat(content).length).toBe(expected.stream_content_len);
    expect<string>(computeChecksum(Buffer.concat(content))).toBe(expected.stream_content_sha256);
    const ids = expected.repo_objects.map(([id]) => id).filter((id) => id !== expected.verity_printed);
    expect(listObjects(repository.path).map((path) => path.replace("/", ""))).toEqual(ids.sort());
    expect((await checkCommits(repository)).faults).toEqual([]);
  });

  test.each([0, 1, 2] as const)("EROFS format %i", async (version) => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), hash, version);
    await using source = LocalRepository.open(sources.join("archive"));
    const { commit } = pull_each_from_empty["archive:c1"]!;
    const { image } = await pullCommit(repository, source, commit, { jobs: 1 });
    expect<string>(image).toBe(erofs_versions[version]!);
  });

  test("the image is, byte for byte, that of composefs-rs", async () => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), hash);
    await using source = LocalRepository.open(sources.join("archive"));
    const { commit } = pull_each_from_empty["archive:c1"]!;
    const { image } = await pullCommit(repository, source, commit);
    const bytes = gunzipSync(readFileSync(join(FIXTURES, `streams/c1-${hash}.erofs.gz`)));
    expect(Buffer.compare(repository.objects.read(image, bytes.length), bytes)).toBe(0);
  });
});

const HASH: HashName = "sha256";

async function pullTwo(ref: string | undefined) {
  const directory = tempDir();
  const repository = newRepository(directory.join("repo"), HASH);
  await using source = LocalRepository.open(sources.join("archive"));
  const { pull_each_from_empty } = algorithms["sha256-12"]!;
  const c2 = pull_each_from_empty["archive:c2"]!.commit;
  const c3 = pull_each_from_empty["archive:c3"]!.commit;
  await pullCommit(repository, source, c2, { ref });
  return { directory, repository, c2, c3 };
}

describe("bases", () => {
  const { pull_each_from_empty } = algorithms["sha256-12"]!;
  const other = pull_each_from_empty["archive:other"]!.commit;

  test("what the parent has is not fetched", async () => {
    const { directory, repository, c3 } = await pullTwo(undefined);
    using _directory = directory;
    using _repository = repository;
    await using source = LocalRepository.open(sources.join("archive"));
    const report = await pullCommit(repository, source, c3);
    expect([report.metadata, report.files]).toEqual([7, 7]);
    expect<string>(report.stream).toBe(pull_each_from_empty["archive:c3"]!.final_stream_object);
  });

  test("nor what the ref named before", async () => {
    const { directory, repository } = await pullTwo("moving");
    using _directory = directory;
    using _repository = repository;
    await using source = LocalRepository.open(sources.join("archive"));
    const report = await pullCommit(repository, source, other, { ref: "moving" });
    const alone = pull_each_from_empty["archive:other"]!;
    expect(report.files).toBeLessThan(20);
    expect<string>(report.stream).toBe(alone.final_stream_object);
  });

  test("files of a base that have vanished are fetched", async () => {
    const { directory, repository, c2, c3 } = await pullTwo(undefined);
    using _directory = directory;
    using _repository = repository;
    const { table } = openCommit(repository, c2)!;
    const vanished = table.objects.at(0);
    await Bun.file(join(repository.path, "objects", vanished.slice(0, 2), vanished.slice(2))).delete();
    await using source = LocalRepository.open(sources.join("archive"));
    await pullCommit(repository, source, c3);
    await pullCommit(repository, source, c2);
    expect((await checkCommits(repository)).faults).toEqual([]);
  });
});
