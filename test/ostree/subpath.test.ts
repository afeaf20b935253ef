import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { checkCommits } from "../../src/ostree/fsck.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { buildRecordedTree } from "../../src/ostree/recorded-image.ts";
import { openResolvedCommit } from "../../src/ostree/resolve.ts";
import { writeCommitRef } from "../../src/ostree/stored-commit.ts";
import { Subpaths } from "../../src/ostree/subpaths.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import { lookUpImage } from "../../src/repository/images.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { dumpTree } from "../../src/tree/dump.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { linksOf, newRepository, unpackRepository } from "./support.ts";

let sources: TempDir;
beforeAll(() => {
  sources = tempDir();
  unpackRepository("archive", sources.path);
});
afterAll(() => sources[Symbol.dispose]());

async function pull(repository: Repository, paths: readonly string[], ref: string | undefined = "main") {
  await using source = LocalRepository.open(sources.join("archive"));
  const commit = await source.resolveRef("test/main");
  return await pullCommit(repository, source, commit, { ref, subpaths: Subpaths.parse(paths), jobs: 1 });
}

const treeOf = (repository: Repository, name = "main") =>
  [...dumpTree(buildRecordedTree(repository, openResolvedCommit(repository, name)))].map(
    (line) => line.split(" ", 1)[0]!,
  );

describe("paths", () => {
  test.each([
    [["usr/share"], ["/usr/share"]],
    [
      ["/usr/share/", "/usr//share/./x", "/etc", "etc"],
      ["/etc", "/usr/share"],
    ],
    [
      ["/a-b", "/a", "/a/b"],
      ["/a", "/a-b"],
    ],
    [["/a", "/"], undefined],
    [[], undefined],
  ])("%j", (texts, paths) => {
    expect(Subpaths.parse(texts)?.paths).toEqual(paths);
  });

  test.each(["", "/a/../b", "a\0b"])("%j is none", (text) => {
    expect(() => Subpaths.parse([text])).toThrow("is no path within a commit");
  });
});

test("a part of a commit, more of it, and all of it", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  using whole = newRepository(directory.join("whole"), "sha256");
  const complete = await pull(whole, []);
  const all = treeOf(whole);
  const isAbove = (path: string, other: string) => other.startsWith(path === "/" ? "/" : `${path}/`);
  const below = (...paths: string[]) =>
    all.filter((path) =>
      paths.some((other) => path === other || isAbove(path, other) || isAbove(other, path)),
    );
  // A directory, and a single file.
  const wanted = ["/usr/share/a", "/usr/etc/conf"];

  const report = await pull(repository, wanted.slice(0, 1));
  expect(report.unchanged).toBe(false);
  expect(report.files).toBeLessThan(complete.files);
  expect(treeOf(repository)).toEqual(below(wanted[0]!));
  expect(lookUpImage(repository, report.image)).toBe(report.image);
  const stream = `ostree-commitpartial-${report.commit}`;
  expect(linksOf(repository.path)["streams/refs/ostree/main"]).toBe(`../../${stream}`);
  expect(linksOf(repository.path)[`streams/ostree-commit-${report.commit}`]).toBeUndefined();
  expect((await checkCommits(repository)).faults).toEqual([]);

  expect((await pull(repository, wanted.slice(0, 1))).unchanged).toBe(true);
  writeCommitRef(repository, "copy", report.commit);
  const more = await pull(repository, wanted.slice(1), undefined);
  expect(more.subpaths?.paths).toEqual([...wanted].sort());
  expect(treeOf(repository, "copy")).toEqual(below(...wanted));
  expect((await checkCommits(repository)).faults).toEqual([]);
  collectGarbage(repository);
  expect((await checkCommits(repository)).commitsChecked).toBe(1);
  expect((await checkCommits(repository)).faults).toEqual([]);

  const rest = await pull(repository, []);
  expect(rest.files).toBe(complete.files - report.files - more.files);
  expect(rest.stream).toBe(complete.stream);
  expect(treeOf(repository, "copy")).toEqual(all);
  collectGarbage(repository);
  expect(linksOf(repository.path)).toEqual({
    ...linksOf(whole.path),
    "streams/refs/ostree/copy": linksOf(whole.path)["streams/refs/ostree/main"]!,
  });
  expect((await pull(repository, wanted)).unchanged).toBe(true);
});

test("a path that is not in the commit", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  expect(pull(repository, ["/no/such"])).rejects.toThrow("the commit has no /no");
  expect(readdirSync(repository.path)).not.toContain("streams");
  expect(existsSync(join(repository.path, "images"))).toBe(false);
});
