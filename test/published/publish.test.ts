import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describeError, kindOf } from "../../src/errors.ts";
import type { RetryPolicy } from "../../src/http/retry.ts";
import { type FetchOptions, type FetchReport, fetchFromCopy } from "../../src/published/fetch/fetch.ts";
import { INDEX_NAME } from "../../src/published/layout.ts";
import { FolderTarget } from "../../src/published/publish/folder.ts";
import { type PublishOptions, type PublishReport, publish } from "../../src/published/publish/publish.ts";
import { PublishedCopy } from "../../src/published/published-copy.ts";
import { removeRef } from "../../src/repository/refs.ts";
import { Repository } from "../../src/repository/repository.ts";
import { algorithmOf } from "../../src/verity/digest.ts";
import { newRepository } from "../oci/support.ts";
import { type StaticServer, serveFiles } from "../ostree/static-server.ts";
import { linksOf } from "../ostree/support.ts";
import { inProcess } from "../repository/vector-runner.ts";
import { findReference } from "../support/reference.ts";
import { listObjects, repositoryContent } from "../support/repository-content.ts";
import { tempDirInMemory } from "../support/temp.ts";
import { sampleRepository, TAG } from "./support.ts";

const QUICK: RetryPolicy = { attempts: 2, firstDelay: 1, maxDelay: 2, maxRetryAfter: 10 };
const ALL = ["refs", "images/refs"];
const TAGGED = `refs/oci/${TAG.replaceAll("/", "%2F")}`;
const reference = findReference();

/** What went wrong, with its kind. */
function failure(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "it succeeded",
    (error) => `${kindOf(error)}: ${describeError(error)}`,
  );
}

describe.each(["sha256", "sha512"] as const)("a published folder of %s", (hash) => {
  const algorithm = algorithmOf(hash);
  const scratch = tempDirInMemory(256 * 1024 * 1024);
  const source = scratch.join("source");
  const published = scratch.join("published");
  let server: StaticServer;
  let count = 0;

  const publishTo = async (
    folder: string,
    options: PublishOptions = {},
    from = source,
  ): Promise<PublishReport> => {
    using repository = Repository.open(from);
    await using target = new FolderTarget(folder, false);
    return await publish(repository, target, options);
  };
  /** Into a new repository, unless `into` is given. */
  const fetchNames = async (
    names: readonly string[],
    options: FetchOptions = {},
    into = scratch.join(`target-${count++}`),
  ): Promise<FetchReport & { path: string }> => {
    using repository = existsSync(into) ? Repository.open(into) : newRepository(into, algorithm);
    using copy = new PublishedCopy(new URL(server.url), { retries: QUICK });
    return { ...(await fetchFromCopy(copy, repository, names, options)), path: into };
  };
  const expectHealthy = async (path: string) => {
    const { rc, stdout, stderr } = await inProcess({ argv: ["--repo", path, "fsck", "--deep"], rc: 0 }, "/");
    expect(`${rc} ${stderr} ${stdout}`).toStartWith("0 ");
    for (const command of ["oci", "ostree"]) {
      const answer = await inProcess({ argv: ["--repo", path, command, "fsck"], rc: 0 }, "/");
      expect(`${answer.rc} ${answer.stderr}`).toStartWith("0 ");
    }
    if (reference === undefined) return;
    const run = Bun.spawnSync([reference, "--repo", path, "fsck"]);
    expect(`${run.exitCode} ${run.stdout.toString()}`).toEndWith("status: ok\n");
  };

  beforeAll(async () => {
    await sampleRepository(source, hash, scratch.path);
    await publishTo(published);
    server = await serveFiles(published);
  });
  afterAll(() => {
    server[Symbol.dispose]();
    scratch[Symbol.dispose]();
  });

  test("is a repository itself, for everybody to read", async () => {
    expect(repositoryContent(published, hash)).toEqual(repositoryContent(source, hash));
    expect(statSync(published).mode & 0o777).toBe(0o755);
    await expectHealthy(published);
  });

  test("everything is fetched from it", async () => {
    const report = await fetchNames(ALL);
    expect(repositoryContent(report.path, hash)).toEqual(repositoryContent(source, hash));
    expect(report.roots.map(({ category, ref }) => `${category}/refs/${ref}`).sort()).toEqual([
      "images/refs/plain/tree",
      `streams/${TAGGED}`,
      "streams/refs/oci/two",
      "streams/refs/ostree/os%2Fc1",
      "streams/refs/ostree/os%2Fother",
    ]);
    expect(report.presentObjects).toBe(0);
    expect(report.fetchedObjects).toBe(listObjects(source).length);
    await expectHealthy(report.path);
    server.takeRequests();
    const again = await fetchNames(ALL, {}, report.path);
    expect(server.takeRequests()).toEqual([`/${INDEX_NAME}`]);
    expect([again.fetchedObjects, again.presentObjects]).toEqual([0, report.fetchedObjects]);
  });

  test.each([TAGGED, "refs/ostree/os%2Fc1", "images/refs/plain/tree"])("only %s", async (name) => {
    server.takeRequests();
    const { path, fetchedObjects } = await fetchNames([name]);
    expect(server.takeRequests()).toHaveLength(fetchedObjects + 1);
    await expectHealthy(path);
    expect(existsSync(join(path, name.startsWith("images") ? name : `streams/${name}`))).toBe(true);
    const collected = await inProcess({ argv: ["--repo", path, "gc"], rc: 0 }, "/");
    expect(collected.stdout.toString()).toBe("Objects: 0 removed (0 bytes)\n");
  });

  test("without the index, the content says what a stream is called", async () => {
    server.fault = (path) => (path === `/${INDEX_NAME}` ? { status: 404 } : undefined);
    for (const name of [TAGGED, "refs/ostree/os%2Fc1", "images/refs/plain/tree"]) {
      const { path } = await fetchNames([name]);
      await expectHealthy(path);
      const link = name.startsWith("images") ? name : `streams/${name}`;
      expect(readlinkSync(join(path, link))).toBe(readlinkSync(join(source, link)));
    }
    expect(await failure(fetchNames(["refs"]))).toStartWith("NotFound: ");
    server.fault = undefined;
  });

  test("a ref of another name, and streams without one", async () => {
    const { path } = await fetchNames([TAGGED], { ref: "mine/os" });
    expect(readlinkSync(join(path, "streams/refs/mine/os"))).toStartWith("../../oci-manifest-");
    expect(existsSync(join(path, "streams/refs/oci"))).toBe(false);
    const layer = readdirSync(join(source, "streams")).find((name) => name.startsWith("oci-layer-"))!;
    const fetched = await fetchNames([layer]);
    expect(fetched.roots[0]).toMatchObject({ entry: layer, ref: undefined });
    expect(`oci-layer-sha256:${fetched.roots[0]!.sha256}`).toBe(layer);
    expect(await failure(fetchNames(ALL, { ref: "x" }))).toStartWith("Invalid: one name can't be given to 5");
  });

  test("composefs-rs fetches streams from it", async () => {
    if (reference === undefined) return console.log("skipped: needs composefs-rs");
    const into = scratch.join("fetched-by-reference");
    newRepository(into, algorithm)[Symbol.dispose]();
    for (const layer of readdirSync(join(source, "streams")).filter((name) =>
      name.startsWith("oci-layer-"),
    )) {
      const run = Bun.spawn([reference, "--repo", into, "fetch", `${server.url}/`, `./${layer}`], {
        stdout: "pipe",
      });
      const [stdout, code] = await Promise.all([new Response(run.stdout).text(), run.exited]);
      expect(`${code} ${stdout}`).toStartWith(`0 content ${layer.replace("oci-layer-", "")}\nverity `);
    }
  });

  test("names that it does not have", async () => {
    expect(await failure(fetchNames(["refs/oci/nope"]))).toBe(`NotFound: ${server.url} has no refs/oci/nope`);
    for (const name of ["../x", "refs/../x", "/refs", "a/b", "images/a/b", ""])
      expect(await failure(fetchNames([name]))).toStartWith("Invalid: ");
    const other = scratch.join(`other-${count++}`);
    newRepository(other, algorithmOf(hash === "sha256" ? "sha512" : "sha256"))[Symbol.dispose]();
    expect(await failure(fetchNames([TAGGED], {}, other))).toStartWith("Invalid: http://");
  });

  describe("what is wrong with it is found", () => {
    const objectsOf = () => listObjects(published).map((path) => `/objects/${path}`);
    const nothingLinked = (path: string) =>
      expect([existsSync(join(path, "streams")), existsSync(join(path, "images"))]).toEqual([false, false]);

    test("a wrong byte in an object, be it content, a stream or an image", async () => {
      const all = objectsOf();
      const names = Object.values(linksOf(published)).map((target) => `/${target.slice("../".length)}`);
      const some = all.filter((path, i) => i % 30 === 0 || statSync(join(published, path)).size > 1_000_000);
      const path = scratch.join(`target-${count++}`);
      for (const wrong of new Set([
        ...some,
        ...all.filter((at) => names.includes(at)).filter((_, i) => i % 4 === 0),
      ])) {
        rmSync(path, { recursive: true, force: true });
        server.fault = (path, _, answer) => {
          if (path !== wrong || answer.body === undefined) return undefined;
          const body = Buffer.from(answer.body);
          body[body.length >> 1]! ^= 0x10;
          return { ...answer, body };
        };
        const said = await failure(fetchNames(ALL, {}, path));
        expect(said).toStartWith("Corrupt: object ");
        expect(said).toContain(wrong.slice("/objects/".length).replace("/", ""));
        expect(listObjects(path)).not.toContain(wrong.slice("/objects/".length));
        nothingLinked(path);
      }
      server.fault = undefined;
      await fetchNames(ALL, {}, path);
      expect(repositoryContent(path, hash)).toEqual(repositoryContent(source, hash));
    });

    test("objects that are missing, or that the server can't give", async () => {
      const wrong = objectsOf().at(-1)!;
      const path = scratch.join(`target-${count++}`);
      server.fault = (at) => (at === wrong ? { status: 404 } : undefined);
      expect(await failure(fetchNames(ALL, {}, path))).toStartWith("NotFound: object ");
      server.fault = (at) => (at === wrong ? { status: 503 } : undefined);
      expect(await failure(fetchNames(ALL, {}, path))).toStartWith("Network: object ");
      server.fault = undefined;
      nothingLinked(path);
    });

    const withIndex = (change: (index: never) => unknown) => {
      server.fault = (path, _, answer) => {
        if (path !== `/${INDEX_NAME}`) return undefined;
        const changed = change(JSON.parse(Buffer.from(answer.body!).toString()) as never);
        return { ...answer, body: Buffer.from(JSON.stringify(changed)) };
      };
    };
    interface Index {
      streams: Record<string, { object: string; size: number }>;
      stream_refs: Record<string, string>;
    }

    test.each([
      ["oci-layer-", "has the content of sha256:"],
      ["oci-manifest-", "has the content of sha256:"],
      ["ostree-commit-", "has the commit of ostree-commit-"],
    ])("streams %s that have each other's names", async (prefix, says) => {
      withIndex((index: Index) => {
        const [a, b] = Object.keys(index.streams).filter((name) => name.startsWith(prefix));
        [index.streams[a!], index.streams[b!]] = [index.streams[b!]!, index.streams[a!]!];
        return index;
      });
      const path = scratch.join(`target-${count++}`);
      expect(await failure(fetchNames(ALL, {}, path))).toContain(says);
      server.fault = undefined;
      nothingLinked(path);
    });

    test("an index that names objects or sizes that can't be", async () => {
      const stream = (index: Index) => Object.values(index.streams)[0]!;
      const changes: ((index: Index) => unknown)[] = [
        () => null,
        () => [],
        (index) => ({ ...index, version: 2 }),
        (index) => ({ ...index, version: "1" }),
        (index) => ({ ...index, algorithm: "md5" }),
        (index) => ({ ...index, streams: { ...index.streams, "../x": stream(index) } }),
        (index) => ({ ...index, streams: { ...index.streams, refs: stream(index) } }),
        (index) => ({ ...index, streams: { x: { ...stream(index), size: -1 } } }),
        (index) => ({ ...index, streams: { x: { ...stream(index), object: "../../etc" } } }),
        (index) => ({ ...index, stream_refs: { "../../x": Object.keys(index.streams)[0] } }),
        (index) => ({ ...index, stream_refs: { x: "not-there" } }),
        (index) => ({ ...index, stream_refs: { x: 7 } }),
      ];
      for (const change of changes) {
        withIndex(change);
        expect(await failure(fetchNames(ALL))).toMatch(/^(Corrupt|Unsupported|Invalid): http:\/\/127/);
      }
      withIndex((index: Index) => {
        for (const entry of Object.values(index.streams)) entry.size--;
        return index;
      });
      expect(await failure(fetchNames(ALL))).toContain("larger than");
      server.fault = undefined;
    });
  });

  describe("publishing again", () => {
    test("copies only what is missing, and keeps what was published before", async () => {
      const folder = scratch.join("again");
      const first = await publishTo(folder, { names: [TAGGED] });
      expect(first.refs).toEqual([`streams/${TAGGED}`]);
      const second = await publishTo(folder, { names: ["refs/oci"] });
      expect(second.refs).toEqual(["streams/refs/oci/registry.example%2Fos:1", "streams/refs/oci/two"]);
      expect(second.present).toBe(first.copied.objects);
      const third = await publishTo(folder, { names: ["images/refs/plain"] });
      expect(third.copied.objects).toBeGreaterThan(0);
      expect(await publishTo(folder, { names: ["refs/oci"] })).toMatchObject({
        copied: { objects: 0, bytes: 0 },
      });
      const index = JSON.parse(readFileSync(join(folder, INDEX_NAME), "utf8"));
      expect(Object.keys(index.stream_refs)).toHaveLength(2);
      expect(Object.keys(index.image_refs)).toEqual(["plain/tree"]);
      await expectHealthy(folder);
    });

    test("with --prune leaves what is needed, and nothing else", async () => {
      const folder = scratch.join("pruned");
      await publishTo(folder);
      const { pruned } = await publishTo(folder, { names: ["refs/oci/two"], prune: true });
      expect(pruned!.objects).toBeGreaterThan(0);
      const fresh = scratch.join("fresh");
      await publishTo(fresh, { names: ["refs/oci/two"] });
      expect(repositoryContent(folder, hash)).toEqual(repositoryContent(fresh, hash));
      expect(readFileSync(join(folder, INDEX_NAME), "utf8")).toBe(
        readFileSync(join(fresh, INDEX_NAME), "utf8"),
      );
    });

    test("replaces damaged objects by size, and refuses to publish damaged ones", async () => {
      const damaged = scratch.join("damaged");
      cpSync(source, damaged, { recursive: true, verbatimSymlinks: true });
      const victim = listObjects(damaged).find(
        (path) => statSync(join(damaged, "objects", path)).size > 1_000_000,
      )!;
      const bytes = readFileSync(join(damaged, "objects", victim));
      bytes[5]! ^= 1;
      writeFileSync(join(damaged, "objects", victim), bytes);
      const folder = scratch.join("from-damaged");
      expect(await failure(publishTo(folder, {}, damaged))).toContain(victim.replace("/", ""));
      expect(existsSync(join(folder, "streams"))).toBe(false);
      expect(JSON.parse(readFileSync(join(folder, INDEX_NAME), "utf8"))).toMatchObject({
        stream_refs: {},
        image_refs: {},
      });
      rmSync(join(damaged, "objects", victim));
      expect(await failure(publishTo(folder, {}, damaged))).toContain("is missing");
      writeFileSync(join(folder, "objects", listObjects(folder)[0]!), "cut");
      await publishTo(folder);
      expect(repositoryContent(folder, hash)).toEqual(repositoryContent(source, hash));
      await expectHealthy(folder);
    });

    test("one after the other, or the index would have the refs of the last one only", async () => {
      const folder = scratch.join("one-by-one");
      await publishTo(folder, { names: ["images/refs"] });
      // Whether somebody else has to wait is seen by another process only.
      const isLocked = () =>
        spawnSync("flock", ["--nonblock", join(folder, "meta.json"), "true"]).status === 1;
      using repository = Repository.open(source);
      {
        await using target = new FolderTarget(folder, false);
        await target.open(repository);
        expect(isLocked()).toBe(true);
      }
      expect(isLocked()).toBe(false);
    });

    test("only to a place of its own", async () => {
      const folder = scratch.join("occupied");
      mkdirSync(folder);
      writeFileSync(join(folder, "file"), "");
      expect(await failure(publishTo(folder))).toBe(
        `Exists: ${folder} is not empty, and nothing was published there`,
      );
      expect(await failure(publishTo(join(folder, "file")))).toBe(
        `Invalid: ${join(folder, "file")} is not a directory`,
      );
      const repository = scratch.join("a-repository");
      newRepository(repository, algorithm)[Symbol.dispose]();
      expect(await failure(publishTo(repository))).toStartWith("Exists: ");
      const other = scratch.join("other-algorithm");
      newRepository(other, algorithmOf(hash === "sha256" ? "sha512" : "sha256"))[Symbol.dispose]();
      expect(await failure(publishTo(published, {}, other))).toStartWith("Exists: ");
      expect(await failure(publishTo(scratch.join("none"), { names: ["refs/none"] }))).toStartWith(
        "NotFound: ",
      );
      expect(existsSync(scratch.join("none"))).toBe(false);
    });
  });

  test("a copy that moved on replaces refs and keeps the content of others", async () => {
    const moving = scratch.join("moving");
    cpSync(source, moving, { recursive: true, verbatimSymlinks: true });
    const { path } = await fetchNames(ALL);
    {
      using repository = Repository.open(moving);
      removeRef(repository, "streams", TAGGED.slice("refs/".length));
    }
    const old = readlinkSync(join(path, `streams/${TAGGED}`));
    rmSync(join(moving, "streams/refs/oci/two"));
    await inProcess(
      {
        argv: ["--repo", moving, "oci", "tag", old.split("/").at(-1)!.replace("oci-manifest-", ""), "two"],
        rc: 0,
      },
      "/",
    );
    const folder = scratch.join("moved");
    await publishTo(folder, {}, moving);
    using second = await serveFiles(folder);
    using repository = Repository.open(path);
    using copy = new PublishedCopy(new URL(second.url), { retries: QUICK });
    await fetchFromCopy(copy, repository, ["refs/oci/two"]);
    expect(readlinkSync(join(path, "streams/refs/oci/two"))).toBe(old);
    await expectHealthy(path);
  });
});
