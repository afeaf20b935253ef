import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { appendFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Checksum } from "../../src/ostree/checksum.ts";
import { checkCommits } from "../../src/ostree/fsck.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { cfsctlOk } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { linksOf, newRepository, unpackRepository } from "./support.ts";

let directory: TempDir;
let whole: string;
let child: string;

/** Half of the objects of an archive, and the name of another repository that has all. */
beforeAll(() => {
  directory = tempDir();
  whole = unpackRepository("archive", directory.path);
  child = directory.join("child");
  cpSync(whole, child, { recursive: true });
  for (const name of readdirSync(join(child, "objects"))) {
    if (Number.parseInt(name, 16) % 2 === 0) rmSync(join(child, "objects", name), { recursive: true });
  }
  rmSync(join(child, "refs/heads/test"), { recursive: true });
  appendFileSync(join(child, "config"), `\n[core]\nparent=${whole}\n`);
});
afterAll(() => directory[Symbol.dispose]());

describe("a repository with a parent", () => {
  test.each([1, 2])("gives what both have, with %i jobs", async (jobs) => {
    using place = tempDir();
    const links = [];
    for (const path of [whole, child]) {
      using repository = newRepository(place.join(path === whole ? "whole" : "child"), "sha256");
      await using source = LocalRepository.open(path);
      const commit = await source.resolveRef("test/main");
      await pullCommit(repository, source, commit, { ref: "main", jobs });
      expect((await checkCommits(repository)).faults).toEqual([]);
      links.push(linksOf(repository.path));
    }
    expect(links[1]).toEqual(links[0]!);
  });

  test("a parent that is not there, and one that is its own", () => {
    const write = (name: string, parent: string) => {
      mkdirSync(directory.join(name, "objects"), { recursive: true });
      writeFileSync(directory.join(name, "config"), `[core]\nmode=archive\nparent=${parent}\n`);
      return directory.join(name);
    };
    expect(() => LocalRepository.open(write("orphan", "/nowhere"))).toThrow("orphan");
    expect(() => LocalRepository.open(write("loop", directory.join("loop")))).toThrow("loop");
  });
});

describe("refs of a local repository", () => {
  test("are those of both, remotes included", async () => {
    const id = readFileSync(join(whole, "refs/heads/test/main"), "utf8").trim() as Checksum;
    mkdirSync(join(child, "refs/remotes/origin/a"), { recursive: true });
    writeFileSync(join(child, "refs/remotes/origin/a/b"), `${id}\n`);
    await using source = LocalRepository.open(child);
    const refs = source.refs();
    expect(refs.map(({ name }) => name)).toEqual(["origin:a/b", "other/ref_1.0-x", "test/main"]);
    for (const { name, commit } of refs) expect(await source.resolveRef(name)).toBe(commit);
  });

  testNeeding({ tool: "ostree" })("are those that ostree lists", () => {
    const { stdout } = Bun.spawnSync(["ostree", "refs", `--repo=${whole}`]);
    const listed = stdout.toString().trim().split("\n").sort();
    for (const url of [whole, `file://${whole}`]) {
      const { refs } = JSON.parse(cfsctlOk(["ostree", "list-refs", "--json", url]));
      expect(refs.map(({ name }: { name: string }) => name)).toEqual(listed);
    }
    expect(cfsctlOk(["ostree", "list-refs", whole])).toContain("│ test/main ");
  });
});
