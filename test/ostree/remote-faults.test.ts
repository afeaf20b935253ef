import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describeError } from "../../src/errors.ts";
import type { Checksum } from "../../src/ostree/checksum.ts";
import { checkCommits } from "../../src/ostree/fsck.ts";
import { type PullOptions, type PullReport, pullCommit } from "../../src/ostree/pull/pull.ts";
import type { Repository } from "../../src/repository/repository.ts";
import type { HashName } from "../../src/verity/digest.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { ArchiveMaker } from "./archive-maker.ts";
import { openUrl } from "./remote-support.ts";
import { type StaticServer, serveFiles } from "./static-server.ts";
import { fixtureJson, linksOf, newRepository, unpackRepository } from "./support.ts";

type Pulls = Readonly<Record<string, { readonly commit: Checksum; readonly image: string }>>;

const { algorithms } = fixtureJson<{
  algorithms: Readonly<Record<string, { pull_each_from_empty: Pulls }>>;
}>("expected.json");
const FILES = 400;
const LARGE = 3_000_000;

let sources: TempDir;
let archive: string;
let made: ArchiveMaker;
let many: Checksum;
let large: Checksum;
let largeFile: Checksum;

beforeAll(() => {
  sources = tempDir();
  archive = unpackRepository("archive", sources.path);
  made = new ArchiveMaker(sources.join("made"));
  const files = Array.from({ length: FILES }, (_, i) => [`file-${i}`, randomBytes(200 + i)] as const);
  many = made.commit("many", Object.fromEntries(files));
  const content = randomBytes(LARGE);
  largeFile = made.file(content);
  large = made.commit("large", { large: content, small: randomBytes(100) });
});
afterAll(() => sources[Symbol.dispose]());

async function pull(
  repository: Repository,
  server: StaticServer,
  commit: Checksum,
  options: PullOptions = {},
): Promise<PullReport> {
  await using source = await openUrl(server.url);
  return await pullCommit(repository, source, commit, { jobs: 2, ...options });
}

async function errorOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return describeError(error);
  }
  throw new Error("it did not fail");
}

/** Without signatures, which are not part of a commit. */
const objectsOf = (requests: readonly string[]) =>
  requests.filter((path) => path.startsWith("/objects/") && !path.endsWith(".commitmeta"));

describe.each(["sha256", "sha512"] as HashName[])("a server that fails now and then, %s", (hash) => {
  const { commit, image } = algorithms[`${hash}-12`]!.pull_each_from_empty["archive:c3"]!;

  test.each([
    ["drops every fifth request", 5, "drop"],
    ["cuts every sixth reply", 6, "cut"],
    ["stalls in every tenth reply", 10, "stall"],
    ["is busy every fourth time", 4, "busy"],
  ] as const)("%s", async (_, every, kind) => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), hash);
    using server = await serveFiles(archive);
    let count = 0;
    server.fault = (_path, request, answer) => {
      if (++count % every !== 0) return undefined;
      if (kind === "drop") request.drop();
      if (kind === "busy") return { status: 503, headers: { "Retry-After": "0" } };
      const half = Math.floor((answer.body?.length ?? 0) / 2);
      if (kind === "cut") return { ...answer, delivery: { cutAfter: half } };
      return kind === "stall" ? { ...answer, delivery: { stallAfter: half } } : undefined;
    };
    const report = await pull(repository, server, commit);
    expect<string>(report.image).toBe(image);
    expect((await checkCommits(repository)).faults).toEqual([]);
  });
});

test("one wrong byte ends the pull, links nothing, and the rest is not fetched again", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  using server = await serveFiles(made.path);
  let wrong: string | undefined;
  server.fault = (path, _request, answer) => {
    if (!path.endsWith(".filez")) return undefined;
    wrong ??= server.requests.length > 300 ? path : undefined;
    if (path !== wrong) return undefined;
    const body = Buffer.from(answer.body!);
    body[body.length - 3]! ^= 1;
    return { ...answer, body };
  };
  const message = await errorOf(pull(repository, server, many, { ref: "many" }));
  const checksum = wrong!.slice("/objects/".length).replace("/", "").replace(".filez", "");
  expect(message).toContain(checksum);
  expect(linksOf(repository.path)).toEqual({});
  const before = objectsOf(server.takeRequests());

  server.fault = undefined;
  const report = await pull(repository, server, many, { ref: "many" });
  const after = objectsOf(server.takeRequests());
  expect(after).toContain(wrong!);
  // What was under way when it failed may not have been stored any more.
  const twice = after.filter((path) => before.includes(path));
  expect(twice.length).toBeLessThan(150);
  expect(report.files).toBe(after.filter((path) => path.endsWith(".filez")).length);
  expect((await checkCommits(repository)).faults).toEqual([]);
  expect(readdirSync(repository.path).includes("tmp") ? readdirSync(`${repository.path}/tmp`) : []).toEqual(
    [],
  );
});

test("what was spoilt on the way is fetched once more", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  using server = await serveFiles(made.path);
  const spoilt = new Set<string>();
  server.fault = (path, _request, answer) => {
    const isFirst = path.startsWith("/objects/") && !path.endsWith(".commitmeta") && !spoilt.has(path);
    if (!isFirst || server.requests.length % 9 !== 0) return undefined;
    spoilt.add(path);
    const body = Buffer.from(answer.body!);
    body[body.length >> 1]! ^= 0x20;
    return { ...answer, body };
  };
  const report = await pull(repository, server, many, { ref: "many" });
  expect(spoilt.size).toBeGreaterThan(20);
  expect(report.files).toBe(FILES);
  const counts = Map.groupBy(objectsOf(server.requests), (path) => path);
  for (const path of spoilt) expect(counts.get(path)!.length).toBe(2);
  expect((await checkCommits(repository)).faults).toEqual([]);
});

test("a server that goes away: the next pull fetches only what is missing", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha512");
  using server = await serveFiles(made.path);
  server.fault = (_path, request) => {
    if (server.requests.length > 250) request.drop();
    return undefined;
  };
  expect(await errorOf(pull(repository, server, many))).toContain("closed unexpectedly");
  expect(linksOf(repository.path)).toEqual({});
  server.takeRequests();
  server.fault = undefined;
  const report = await pull(repository, server, many);
  expect(report.metadata).toBe(0);
  expect(report.files).toBeLessThan(FILES - 100);
  expect(report.files).toBe(objectsOf(server.takeRequests()).length);
  expect((await checkCommits(repository)).faults).toEqual([]);
});

describe("a large file", () => {
  const path = () => `/${made.object(largeFile, "filez")}`;

  test.each([
    ["goes on where it broke", true],
    ["begins anew where ranges are not known", false],
  ])("%s", async (_, hasRanges) => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), "sha256");
    using server = await serveFiles(made.path);
    const ranges: (string | null)[] = [];
    const whole = { status: 200, body: readFileSync(made.path + path()) };
    server.fault = (target, { headers }, answer) => {
      if (target !== path()) return undefined;
      ranges.push(headers.get("range"));
      if (ranges.length === 1) return { ...answer, delivery: { cutAfter: 2_000_000 } };
      return hasRanges ? undefined : whole;
    };
    await pull(repository, server, large);
    expect(ranges).toEqual([null, expect.stringMatching(/^bytes=[1-9]\d{5,6}-$/)]);
    expect((await checkCommits(repository)).faults).toEqual([]);
  });

  test.each(["on the way", "at its source"])("whose header was spoilt %s", async (where) => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), "sha256");
    using server = await serveFiles(made.path);
    let requests = 0;
    server.fault = (target, _request, answer) => {
      if (target !== path() || (requests++ > 0 && where === "on the way")) return undefined;
      const body = Buffer.from(answer.body!);
      body[0] = 0xff;
      return { ...answer, body };
    };
    const pulled = pull(repository, server, large);
    if (where === "on the way") await pulled;
    else expect(await errorOf(pulled)).toMatch(/the file [0-9a-f]{64} has a header of/);
    expect(requests).toBe(2);
    expect((await checkCommits(repository)).faults).toEqual([]);
  });

  test("that never ends is given up", async () => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), "sha256");
    using server = await serveFiles(made.path);
    server.fault = (target, _request, answer) =>
      target === path() ? { ...answer, delivery: { endless: true } } : undefined;
    expect(await errorOf(pull(repository, server, large))).toContain("larger than its header says");
  });
});

test("metadata that never ends is given up", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  using server = await serveFiles(made.path);
  server.fault = (target, _request, answer) =>
    target.endsWith(".dirmeta") ? { ...answer, delivery: { contentLength: 2 ** 40 } } : undefined;
  expect(await errorOf(pull(repository, server, many))).toContain("larger than");
});

test("a missing object ends the pull, and nothing is linked", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  using server = await serveFiles(made.path);
  server.fault = (target) => (target.endsWith(".dirmeta") ? { status: 404 } : undefined);
  expect(await errorOf(pull(repository, server, many, { ref: "many" }))).toMatch(/dirmeta [0-9a-f]{64}.*404/);
  expect(linksOf(repository.path)).toEqual({});
});
