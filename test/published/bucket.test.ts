import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { describeError, kindOf } from "../../src/errors.ts";
import type { RetryPolicy } from "../../src/http/retry.ts";
import { fetchFromCopy } from "../../src/published/fetch/fetch.ts";
import { type BucketSettings, bucketAddress } from "../../src/published/publish/bucket-address.ts";
import { BucketTarget } from "../../src/published/publish/bucket-target.ts";
import { type PublishOptions, type PublishReport, publish } from "../../src/published/publish/publish.ts";
import { Bucket, type BucketEntry } from "../../src/published/publish/s3.ts";
import { PublishedCopy } from "../../src/published/published-copy.ts";
import { Repository } from "../../src/repository/repository.ts";
import { algorithmOf } from "../../src/verity/digest.ts";
import { newRepository } from "../oci/support.ts";
import { findReference } from "../support/reference.ts";
import { listObjects, repositoryContent } from "../support/repository-content.ts";
import { tempDirInMemory } from "../support/temp.ts";
import { sampleRepository } from "./support.ts";

const QUICK: RetryPolicy = { attempts: 2, firstDelay: 1, maxDelay: 2, maxRetryAfter: 10 };
/** Of the server's dummy account. */
const ENVIRONMENT = { AWS_ACCESS_KEY_ID: "S3RVER", AWS_SECRET_ACCESS_KEY: "S3RVER" };

describe("a bucket", () => {
  const scratch = tempDirInMemory(256 * 1024 * 1024);
  let server: Bun.Subprocess<"ignore", "pipe", "inherit">;
  let endpoint: string;

  const bucketOf = (url: string, settings: BucketSettings = {}, environment: object = ENVIRONMENT) =>
    new Bucket(bucketAddress(url, { endpoint, ...settings }, { ...environment }), { retries: QUICK });
  const publishTo = async (
    url: string,
    from: string,
    options: PublishOptions = {},
  ): Promise<PublishReport> => {
    using repository = Repository.open(from);
    await using target = new BucketTarget(bucketOf(url));
    return await publish(repository, target, options);
  };
  const entriesOf = async (url: string): Promise<Map<string, BucketEntry>> => {
    const entries = new Map<string, BucketEntry>();
    for await (const entry of bucketOf(url).entries()) entries.set(entry.key, entry);
    return entries;
  };
  const failure = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => "it succeeded",
      (error) => `${kindOf(error)}: ${describeError(error)}`,
    );

  beforeAll(async () => {
    const program = join(import.meta.dir, "s3-server.ts");
    server = Bun.spawn([process.execPath, program, scratch.join("s3"), "pub"], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const { value } = await server.stdout.getReader().read();
    endpoint = `http://127.0.0.1:${Number(new TextDecoder().decode(value))}`;
  });
  afterAll(() => {
    server.kill();
    scratch[Symbol.dispose]();
  });

  describe.each(["sha256", "sha512"] as const)("of objects of %s", (hash) => {
    const source = scratch.join(hash, "source");
    const url = `s3://pub/${hash}/copy`;
    const path = () => `${endpoint}/pub/${hash}/copy/`;
    beforeAll(async () => {
      await sampleRepository(source, hash, scratch.join(hash));
      const { copied } = await publishTo(url, source);
      expect(copied.objects).toBe(listObjects(source).length);
    });

    test("has the layout of a repository", async () => {
      const keys = [...(await entriesOf(url)).keys()];
      expect(
        keys
          .filter((key) => key.startsWith("objects/"))
          .map((key) => key.slice(8))
          .sort(),
      ).toEqual(listObjects(source));
      expect(keys.filter((key) => !key.includes("/")).sort()).toEqual(["meta.json", "published.json"]);
      const reply = await fetch(`${path()}streams/refs/oci/two`);
      expect(reply.headers.get("content-type")).toBe("text/x-symlink-target");
      expect(await reply.text()).toMatch(/^\.\.\/objects\/[0-9a-f]{2}\/[0-9a-f]+$/);
    });

    test("gives what was published", async () => {
      using repository = newRepository(scratch.join(hash, "target"), algorithmOf(hash));
      using copy = new PublishedCopy(new URL(path()), { retries: QUICK });
      await fetchFromCopy(copy, repository, ["refs", "images/refs"]);
      expect(repositoryContent(repository.path, hash)).toEqual(repositoryContent(source, hash));
    });

    test("also layers to composefs-rs", async () => {
      const reference = findReference();
      if (reference === undefined) return console.log("skipped: needs composefs-rs");
      const into = scratch.join(hash, "by-reference");
      newRepository(into, algorithmOf(hash))[Symbol.dispose]();
      for (const key of (await entriesOf(url)).keys()) {
        const layer = /^streams\/(oci-layer-(.*))$/.exec(key);
        if (layer === null) continue;
        const run = Bun.spawn([reference, "--repo", into, "fetch", path(), `./${layer[1]}`], {
          stdout: "pipe",
        });
        const [stdout, code] = await Promise.all([new Response(run.stdout).text(), run.exited]);
        expect(`${code} ${stdout}`).toStartWith(`0 content ${layer[2]}\nverity `);
      }
    });

    test("gets only what is missing, and loses what is not needed any more when it is pruned", async () => {
      const at = `s3://pub/${hash}/more`;
      const first = await publishTo(at, source, { names: ["refs/oci/two"] });
      const before = await entriesOf(at);
      expect(await publishTo(at, source)).toMatchObject({ present: first.copied.objects });
      await Bun.sleep(5);
      const untouched = await publishTo(at, source, { names: ["images/refs"] });
      expect(untouched.copied).toEqual({ objects: 0, bytes: 0 });
      const { pruned } = await publishTo(at, source, { names: ["refs/oci/two"], prune: true });
      expect(pruned!.objects).toBeGreaterThan(0);
      expect(await entriesOf(at)).toEqual(before);
    });
  });

  test("sees objects before what refers to them, and the index last", async () => {
    const written: string[] = [];
    using recorder = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        const { method, headers } = request;
        const isWrite = method !== "GET" && method !== "HEAD";
        const reply = await fetch(`${endpoint}${pathname}${search}`, {
          method,
          headers,
          ...(isWrite && { body: await request.arrayBuffer() }),
        });
        if (isWrite) written.push(decodeURIComponent(pathname).replace("/pub/ordered/", ""));
        return new Response(await reply.arrayBuffer(), { status: reply.status, headers: reply.headers });
      },
    });
    using repository = Repository.open(scratch.join("sha256", "source"));
    const bucket = bucketOf("s3://pub/ordered", { endpoint: `http://127.0.0.1:${recorder.port}` });
    await using target = new BucketTarget(bucket);
    await publish(repository, target, { names: ["refs/oci", "images/refs"] });
    const order = [/^objects/, /^meta\.json$/, /^\w+\/(?!refs\/)/, /^\w+\/refs\//, /^published\.json$/];
    const rankOf = (key: string) => order.findIndex((pattern) => pattern.test(key));
    // The first is the index of nothing, which says what this place is for.
    expect(written[0]).toBe("published.json");
    const ranks = written.slice(1).map(rankOf);
    expect(ranks).toEqual(ranks.toSorted());
    expect([...new Set(ranks)]).toEqual([0, 1, 2, 3, 4]);
    expect(ranks.filter((rank) => rank === 4)).toHaveLength(1);
  });

  test("is not used when it holds something else", async () => {
    await bucketOf("s3://pub/used").put("photo.jpg", new Uint8Array(3), "image/jpeg");
    const source = scratch.join("sha256", "source");
    expect(await failure(publishTo("s3://pub/used", source))).toStartWith(
      "Exists: s3://pub/used is not empty",
    );
    expect([...(await entriesOf("s3://pub/used")).keys()]).toEqual(["photo.jpg"]);
  });

  test("lists of several pages", async () => {
    const page = (keys: readonly string[], next?: string) =>
      `<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>b</Name><Prefix>x/</Prefix>${keys
        .map((key) => `<Contents><Key>x/${key}</Key><Size>3</Size><ETag>&quot;e&quot;</ETag></Contents>`)
        .join("")}<IsTruncated>${next !== undefined}</IsTruncated>${
        next === undefined ? "" : `<NextContinuationToken>${next}</NextContinuationToken>`
      }</ListBucketResult>`;
    const asked: (string | null)[] = [];
    using pages = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const token = new URL(request.url).searchParams.get("continuation-token");
        asked.push(token);
        const body = token === null ? page(["b", "a&amp;c"], "t/1=") : page(["d"]);
        return new Response(body, { headers: { "Content-Type": "application/xml" } });
      },
    });
    const bucket = bucketOf("s3://b/x", { endpoint: `http://127.0.0.1:${pages.port}` });
    const keys: string[] = [];
    for await (const { key, size, etag } of bucket.entries()) keys.push(`${key} ${size} ${etag}`);
    expect(keys).toEqual(["b 3 e", "a&c 3 e", "d 3 e"]);
    expect(asked).toEqual([null, "t/1="]);
  });

  test("what services refuse, in one sentence and without secrets", async () => {
    const put = (bucket: Bucket) => failure(bucket.put("x", new Uint8Array(1), "text/plain"));
    const wrong = { accessKeyId: "S3RVER", secretAccessKey: "very-secret" };
    const refused = await put(bucketOf("s3://pub", { credentials: wrong }));
    expect(refused).toStartWith("Permission: s3://pub: x: SignatureDoesNotMatch: ");
    expect(refused).not.toContain("very-secret");
    expect(await put(bucketOf("s3://nope"))).toStartWith("NotFound: s3://nope: x: NoSuchBucket: ");
    expect(await put(bucketOf("s3://pub", { endpoint: "http://127.0.0.1:1" }))).toStartWith(
      "Network: s3://pub: x: connection refused",
    );
    expect(await bucketOf("s3://pub").get("none", 10)).toBeUndefined();
  });

  test("addresses and credentials", () => {
    const address = (text: string, settings: BucketSettings = {}, environment: object = ENVIRONMENT) => {
      try {
        return bucketAddress(text, settings, { ...environment });
      } catch (error) {
        return `${kindOf(error)}`;
      }
    };
    expect(address("s3://b/x//y/")).toEqual({
      bucket: "b",
      prefix: "x/y/",
      endpoint: undefined,
      region: "us-east-1",
      accessKeyId: "S3RVER",
      secretAccessKey: "S3RVER",
      sessionToken: undefined,
    });
    const all = {
      ...ENVIRONMENT,
      AWS_SESSION_TOKEN: "t",
      AWS_DEFAULT_REGION: "d",
      AWS_ENDPOINT_URL: "https://e",
    };
    expect(address("s3://b", {}, all)).toMatchObject({
      prefix: "",
      region: "d",
      endpoint: "https://e",
      sessionToken: "t",
    });
    const credentials = { accessKeyId: "i", secretAccessKey: "s" };
    expect(
      address("s3://b", { region: "r", credentials }, { ...all, AWS_ENDPOINT_URL_S3: "https://s" }),
    ).toMatchObject({
      region: "r",
      endpoint: "https://s",
      accessKeyId: "i",
      sessionToken: undefined,
    });
    for (const text of ["s3://", "s3:///x", "s3://b/../x", "s3://b b"]) expect(address(text)).toBe("Invalid");
    expect(address("s3://b", { endpoint: "ftp://x" })).toBe("Invalid");
    expect(address("s3://b", {}, {})).toBe("Permission");
  });
});
