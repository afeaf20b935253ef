import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cfsctlOk, runCfsctl } from "../support/cfsctl.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";
import { type StaticServer, serveFiles } from "./static-server.ts";

/** What is asked of a server for a commit when the one before it is there. */

const FOLDERS = 80;
const FILES = 1000;
const CHANGED = 50;
/** Folders with a file that changes. */
const TOUCHED = 25;

let scratch: TempDir;
let archive: string;
let server: StaticServer;

const inRepository = (name: string, ...args: string[]) => ["--repo", scratch.join(name), ...args];
const ours = (name: string, ...args: string[]) => cfsctlOk(inRepository(name, "ostree", ...args));

beforeAll(async () => {
  scratch = tempDirInMemory(100e6);
  archive = scratch.join("archive");
  const tree = scratch.join("tree");
  const path = (i: number) => join(tree, `${i % FOLDERS}`, `file-${i}`);
  for (let i = 0; i < FOLDERS; i++) mkdirSync(join(tree, `${i}`), { recursive: true });
  for (let i = 0; i < FILES; i++) writeFileSync(path(i), `file ${i}\n`.repeat(i));
  cfsctlOk(inRepository("source", "init", "--insecure"));
  const publish = (ref: string, parent: string) => {
    ours("source", "commit", "--dir", tree, "--reference", ref, "--parent", parent);
    ours("source", "export", ref, archive, "--mode", "archive", "--reference", ref);
  };
  publish("first", "none");
  for (let i = 0; i < CHANGED; i++)
    writeFileSync(path((i % TOUCHED) + FOLDERS * Math.floor(i / TOUCHED)), `changed ${i}\n`.repeat(1000));
  publish("second", "first");
  server = await serveFiles(archive);
});
afterAll(() => {
  server[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

const commitOf = (ref: string) => readFileSync(join(archive, "refs/heads", ref), "latin1").trim();

/** Paths of all objects that a commit has, by their types. */
function objectsOf(ref: string): Set<string> {
  const { objects } = JSON.parse(ours("source", "inspect", "--json", ref)) as {
    objects: { checksum: string; type: string }[];
  };
  return new Set(
    objects.map(({ checksum, type }) => {
      const extension = type === "file" ? "filez" : type;
      return `/objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${extension}`;
    }),
  );
}

describe("a commit with 50 changed files", () => {
  test.each([
    ["by its parent", "first", []],
    ["by what the ref named before", "moving", []],
    ["by a commit that is named", "first", ["--base-name", "first"]],
  ] as const)("%s: only these are fetched, and directories above them", async (what, name, more) => {
    const repository = what.replaceAll(" ", "-");
    cfsctlOk(inRepository(repository, "init", "--insecure"));
    const first = commitOf("first");
    ours(repository, "pull-local", archive, first);
    ours(repository, "tag", first, name);
    server.takeRequests();
    const pull = inRepository(repository, "--progress", "none", "ostree", "pull", "--no-delta", "--json");
    const { code, stdout } = await runCfsctl([...pull, ...more, server.url, "second"]);
    expect(code).toBe(0);
    const requests = server.takeRequests();
    const fetched = requests.filter((path) => path.startsWith("/objects/") && !path.endsWith(".commitmeta"));
    const old = objectsOf("first");
    expect(new Set(fetched)).toEqual(new Set([...objectsOf("second")].filter((path) => !old.has(path))));
    // commit, root and the folders that were touched
    expect(fetched.length).toBe(CHANGED + TOUCHED + 2);
    // summary and its index, the ref, signatures
    expect(requests.length - fetched.length).toBeLessThan(6);
    expect(JSON.parse(stdout).commits).toMatchObject([
      { objects: { metadata: TOUCHED + 2, files: CHANGED } },
    ]);
    expect(ours(repository, "compute-id", "second")).toBe(ours("source", "compute-id", "second"));
  });

  test("by nothing: all of it is fetched, once", async () => {
    cfsctlOk(inRepository("empty", "init", "--insecure"));
    server.takeRequests();
    const pull = inRepository("empty", "--progress", "none", "ostree", "pull", "--no-delta");
    expect((await runCfsctl([...pull, server.url, "second"])).code).toBe(0);
    const fetched = server
      .takeRequests()
      .filter((path) => path.startsWith("/objects/") && !path.endsWith(".commitmeta"));
    expect(fetched.length).toBe(objectsOf("second").size);
    expect(new Set(fetched)).toEqual(objectsOf("second"));
  });
});
