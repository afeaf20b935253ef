import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describeError } from "../../src/errors.ts";
import { type Checksum, computeChecksum } from "../../src/ostree/checksum.ts";
import { writeGVariant } from "../../src/ostree/gvariant.ts";
import { parseSummary, parseSummaryIndex } from "../../src/ostree/remote/summary-format.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import type { Repository } from "../../src/repository/repository.ts";
import { tempDir } from "../support/temp.ts";
import { ArchiveMaker } from "./archive-maker.ts";
import { openUrl } from "./remote-support.ts";
import { LAST_MODIFIED, type StaticServer, serveFiles } from "./static-server.ts";
import { linksOf, newRepository } from "./support.ts";

const checksum = (digit: string) => digit.repeat(64) as Checksum;

async function resolve(server: StaticServer, ref: string, cache?: Repository, subset?: string) {
  await using source = await openUrl(server.url, { cache, subset });
  return await source.resolveRef(ref);
}

async function errorOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return describeError(error);
  }
  throw new Error("it did not fail");
}

test("a summary is kept, also through collections, and asked for only when it has changed", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  const made = new ArchiveMaker(directory.join("archive"));
  made.summary({ main: checksum("1") });
  using server = await serveFiles(made.path);
  const conditions: (string | null)[] = [];
  server.fault = (path, { headers }) => {
    if (path === "/summary") conditions.push(headers.get("if-modified-since"));
    return undefined;
  };
  expect<string>(await resolve(server, "main", repository)).toBe(checksum("1"));
  collectGarbage(repository);
  expect<string>(await resolve(server, "main", repository)).toBe(checksum("1"));
  expect(conditions).toEqual([null, LAST_MODIFIED]);
  expect(Object.keys(linksOf(repository.path))).toContain("streams/ostree-summary-127.0.0.1");
});

test("an ETag goes before a date", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  const made = new ArchiveMaker(directory.join("archive"));
  made.summary({ main: checksum("1") });
  using server = await serveFiles(made.path);
  const conditions: (string | null)[][] = [];
  server.fault = (path, { headers }, answer) => {
    if (path !== "/summary") return undefined;
    conditions.push([headers.get("if-none-match"), headers.get("if-modified-since")]);
    if (headers.get("if-none-match") === '"v1"') return { status: 304 };
    return { ...answer, headers: { ...answer.headers, ETag: '"v1"' } };
  };
  for (let i = 0; i < 2; i++) expect<string>(await resolve(server, "main", repository)).toBe(checksum("1"));
  expect(conditions).toEqual([
    [null, null],
    ['"v1"', null],
  ]);
});

test("servers whose summaries have the same name are told apart", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  const [one, two] = ["1", "2"].map((digit) => {
    const made = new ArchiveMaker(directory.join(digit));
    made.summary({ main: checksum(digit) });
    return made.path;
  });
  using first = await serveFiles(one!);
  using second = await serveFiles(two!);
  for (let i = 0; i < 2; i++) {
    expect<string>(await resolve(first, "main", repository)).toBe(checksum("1"));
    expect<string>(await resolve(second, "main", repository)).toBe(checksum("2"));
  }
});

test("a damaged cache is not used", async () => {
  using directory = tempDir();
  using repository = newRepository(directory.join("repo"), "sha256");
  const made = new ArchiveMaker(directory.join("archive"));
  made.summary({ main: checksum("1") });
  using server = await serveFiles(made.path);
  await resolve(server, "main", repository);
  const target = linksOf(repository.path)["streams/ostree-summary-127.0.0.1"]!;
  writeFileSync(`${repository.path}/streams/${target}`, "damaged");
  expect<string>(await resolve(server, "main", repository)).toBe(checksum("1"));
});

describe("a summary by subsets", () => {
  const summaryOf = (digit: string) =>
    writeGVariant("(a(s(taya{sv}))a{sv})", [
      [["main", [0n, Buffer.from(checksum(digit), "hex"), []]]],
      [],
    ] as never);

  function makeIndex(made: ArchiveMaker, subsets: Readonly<Record<string, Uint8Array>>): void {
    const entries = Object.entries(subsets).map(([key, bytes]) => {
      const sum = computeChecksum(bytes);
      made.write(`summaries/${sum}.gz`, gzipSync(bytes));
      return [key, [Buffer.from(sum, "hex"), [], []]];
    });
    made.write("summary.idx", writeGVariant("(a{s(ayaaya{sv})}a{sv})", [entries, []] as never));
  }

  test("each is fetched once", async () => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), "sha256");
    const made = new ArchiveMaker(directory.join("archive"));
    makeIndex(made, { a: summaryOf("a"), b: summaryOf("b") });
    using server = await serveFiles(made.path);
    for (const subset of ["a", "b", "a", "b"])
      expect<string>(await resolve(server, "main", repository, subset)).toBe(checksum(subset));
    expect(server.requests.filter((path) => path.startsWith("/summaries/")).length).toBe(2);
  });

  test("one that is not what the index says is refused", async () => {
    using directory = tempDir();
    using repository = newRepository(directory.join("repo"), "sha256");
    const made = new ArchiveMaker(directory.join("archive"));
    makeIndex(made, { a: summaryOf("a") });
    using server = await serveFiles(made.path);
    server.fault = (path) =>
      path.startsWith("/summaries/") ? { status: 200, body: gzipSync(summaryOf("b")) } : undefined;
    expect(await errorOf(resolve(server, "main", repository, "a"))).toContain("subsummary checksum mismatch");
    server.fault = (path) =>
      path.startsWith("/summaries/") ? { status: 200, body: Buffer.from("no gzip") } : undefined;
    expect(await errorOf(resolve(server, "main", repository, "a"))).toContain("can't be unpacked");
  });

  test("one that inflates to more than a summary can have is refused", async () => {
    using directory = tempDir();
    const made = new ArchiveMaker(directory.join("archive"));
    makeIndex(made, { a: summaryOf("a") });
    using server = await serveFiles(made.path);
    const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024), { level: 1 });
    server.fault = (path) => (path.startsWith("/summaries/") ? { status: 200, body: bomb } : undefined);
    expect(await errorOf(resolve(server, "main", undefined, "a"))).toContain("can't be unpacked");
  });
});

describe("refs", () => {
  test.each([
    ["by the summary first", "main", "1"],
    ["by their files where the summary has none", "a/b+c", "3"],
  ])("%s", async (_, ref, digit) => {
    using directory = tempDir();
    const made = new ArchiveMaker(directory.join("archive"));
    made.summary({ main: checksum("1") });
    made.write("refs/heads/main", Buffer.from(`${checksum("2")}\n`));
    made.write("refs/heads/a/b+c", Buffer.from(`${checksum("3")}\n`));
    using server = await serveFiles(made.path);
    expect<string>(await resolve(server, ref)).toBe(checksum(digit));
    if (ref !== "main") expect(server.requests.at(-1)).toBe("/refs/heads/a/b+c");
  });

  test.each([
    ["missing", "nope", "has no ref 'nope'"],
    ["empty", "empty", "is not a checksum"],
    ["malformed", "short", "is not a checksum"],
    ["leading elsewhere", "../config", "is no ref"],
    ["with an empty part", "a//b", "is no ref"],
    ["larger than any ref", "large", "larger than"],
  ])("%s", async (_, ref, message) => {
    using directory = tempDir();
    const made = new ArchiveMaker(directory.join("archive"));
    made.write("refs/heads/empty", Buffer.from(""));
    made.write("refs/heads/short", Buffer.from("1234\n"));
    made.write("refs/heads/large", Buffer.alloc(10_000));
    using server = await serveFiles(made.path);
    expect(await errorOf(resolve(server, ref))).toContain(message);
  });
});

describe("formats", () => {
  test.each([
    ["empty", new Uint8Array(0)],
    [
      "cut",
      writeGVariant("(a(s(taya{sv}))a{sv})", [[["x", [0n, new Uint8Array(32), []]]], []] as never).slice(
        0,
        -3,
      ),
    ],
    [
      "a short checksum",
      writeGVariant("(a(s(taya{sv}))a{sv})", [[["x", [0n, new Uint8Array(31), []]]], []] as never),
    ],
    ["noise", Buffer.from("this is no summary at all, but some text")],
  ])("a summary that is refused: %s", (_, bytes) => {
    expect(() => parseSummary(bytes)).toThrow();
  });

  test("an index with a short checksum is refused", () => {
    const bytes = writeGVariant("(a{s(ayaaya{sv})}a{sv})", [
      [["x", [new Uint8Array(3), [], []]]],
      [],
    ] as never);
    expect(() => parseSummaryIndex(bytes)).toThrow("3 bytes instead of 32");
  });
});

test("mirrors: what one does not have is asked of the next", async () => {
  using directory = tempDir();
  const made = new ArchiveMaker(directory.join("archive"));
  made.write("refs/heads/main", Buffer.from(`${checksum("5")}\n`));
  made.write("empty/x", Buffer.from(""));
  using server = await serveFiles(made.path);
  made.write("list", Buffer.from(`# mirrors\n${server.url}/empty\n\n${server.url}/\n`));
  const mirrors = { ...server, url: `mirrorlist=${server.url}/list` };
  expect<string>(await resolve(mirrors, "main")).toBe(checksum("5"));
  made.write("list", Buffer.from("# none\n"));
  expect(await errorOf(resolve(mirrors, "main"))).toContain("the list of mirrors is empty");
});
