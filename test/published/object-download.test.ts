import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeError, kindOf } from "../../src/errors.ts";
import type { RetryPolicy } from "../../src/http/retry.ts";
import { type CopyOptions, PublishedCopy } from "../../src/published/published-copy.ts";
import { initRepository } from "../../src/repository/init.ts";
import { Repository } from "../../src/repository/repository.ts";
import { algorithmOf, type ObjectId, objectPath } from "../../src/verity/digest.ts";
import { fsVerityDigest } from "../../src/verity/merkle.ts";
import { Scratch } from "../repository/support.ts";
import { type Delivery, type HttpServer, startHttpServer } from "../support/http-server.ts";
import { noise } from "../support/tar-writer.ts";

const QUICK: RetryPolicy = { attempts: 3, firstDelay: 1, maxDelay: 2, maxRetryAfter: 10 };
const KIB = 1024;
const MIB = KIB * KIB;

/** One answer of the server: what is wrong with it. */
interface Behaviour {
  readonly status?: number;
  readonly location?: string;
  readonly delivery?: Delivery;
  /** Ranges are not understood. */
  readonly wholeOnly?: boolean;
  readonly change?: (body: Uint8Array) => Uint8Array;
}

describe.each(["sha256", "sha512"] as const)("fetching an object of %s", (hash) => {
  const algorithm = algorithmOf(hash);
  const scratch = new Scratch();
  let server: HttpServer;
  let path: string;
  const contents = new Map<string, Uint8Array>();
  const requests: string[] = [];
  let behaviours: Behaviour[] = [];

  const add = (size: number): ObjectId => {
    const bytes = noise(size, size);
    const id = fsVerityDigest(bytes, algorithm);
    contents.set(`/copy/objects/${objectPath(id)}`, bytes);
    return id;
  };

  beforeAll(async () => {
    server = await startHttpServer(async ({ target, headers }) => {
      const range = headers.get("range");
      requests.push(range === null ? target : `${target} ${range}`);
      const { status, location, delivery, wholeOnly, change } = behaviours.shift() ?? {};
      const stored = contents.get(target.replace("/moved", "/copy"));
      if (status !== undefined) return { status, ...(location && { headers: { location } }) };
      if (stored === undefined) return { status: 404 };
      const start = range === null || wholeOnly ? 0 : Number(/^bytes=(\d+)-$/.exec(range)![1]);
      const body = change === undefined ? stored : change(stored);
      if (start >= body.length && start > 0) return { status: 416 };
      const partial = start > 0 && {
        headers: { "content-range": `bytes ${start}-${body.length - 1}/${body.length}` },
      };
      return {
        status: start > 0 ? 206 : 200,
        ...partial,
        body: body.subarray(start),
        ...(delivery && { delivery }),
      };
    });
  });
  afterAll(() => {
    server[Symbol.dispose]();
    scratch[Symbol.dispose]();
  });

  const fetchObject = async (
    id: ObjectId,
    answers: readonly Behaviour[] = [],
    options: { maxSize?: number; replace?: boolean; onBytes?: (bytes: number) => void } = {},
    more: CopyOptions = {},
  ) => {
    path = scratch.join("r");
    initRepository(path, { algorithm, erofsVersion: 1, verity: false });
    using repository = Repository.open(path);
    using copy = new PublishedCopy(new URL(`http://127.0.0.1:${server.port}/copy/`), {
      retries: QUICK,
      ...more,
    });
    behaviours = [...answers];
    requests.length = 0;
    return await copy.fetchObject(repository, id, options);
  };
  const stored = (id: ObjectId) => {
    const file = join(path, "objects", objectPath(id));
    return existsSync(file) ? fsVerityDigest(readFileSync(file), algorithm) : undefined;
  };
  const leftOver = () => readdirSync(join(path, "tmp"));
  const failure = (promise: Promise<unknown>) =>
    promise.then(
      () => "it succeeded",
      (error) => `${kindOf(error)}: ${describeError(error)}`,
    );

  test.each([0, 1, 4096, 4097, MIB, MIB + 1, 3 * MIB + 5])("%d bytes", async (size) => {
    const id = add(size);
    let counted = 0;
    const answer = await fetchObject(id, [], {
      onBytes: (bytes) => {
        counted += bytes;
      },
    });
    expect(answer).toEqual({ size, created: true });
    expect(counted).toBe(size);
    expect(stored(id)).toBe(id);
    expect(requests).toHaveLength(1);
  });

  test.each([300, 2 * MIB])("an object of %d bytes with a wrong byte is refused and named", async (size) => {
    const id = add(size);
    const change = (body: Uint8Array) => body.with(size - 7, body.at(-7)! ^ 1);
    expect(await failure(fetchObject(id, [{ change }]))).toBe(
      `Corrupt: object ${algorithm.hash}:${id} from 127.0.0.1:${server.port}: its content has another digest`,
    );
    expect(requests).toHaveLength(1);
    expect(stored(id)).toBeUndefined();
  });

  test.each([
    ["cut", 300, (body: Uint8Array) => body.subarray(0, -1)],
    ["longer", 300, (body: Uint8Array) => new Uint8Array([...body, 0])],
    ["empty", 300, () => new Uint8Array(0)],
    ["cut, large", 2 * MIB, (body: Uint8Array) => body.subarray(0, -1)],
  ] as const)("one that is %s is refused", async (_, size, change) => {
    const id = add(size + 1);
    expect(await failure(fetchObject(id, [{ change }]))).toStartWith("Corrupt: object ");
    expect(stored(id)).toBeUndefined();
  });

  test("an endless answer is given up at the size that the object can have", async () => {
    const id = add(500);
    const endless = { delivery: { endless: true } };
    expect(await failure(fetchObject(id, [endless], { maxSize: 500 }))).toContain(
      "larger than the 500 bytes",
    );
    const large = add(2 * MIB);
    expect(await failure(fetchObject(large, [endless], { maxSize: 2 * MIB }))).toContain("larger than");
    expect(await failure(fetchObject(large, [], { maxSize: 2 * MIB - 1 }))).toContain("larger than");
    expect([stored(id), stored(large)]).toEqual([undefined, undefined]);
  });

  test("a transfer that breaks goes on where it was", async () => {
    const id = add(3 * MIB);
    await fetchObject(id, [{ delivery: { cutAfter: 2 * MIB } }]);
    expect(stored(id)).toBe(id);
    const file = `/copy/objects/${objectPath(id)}`;
    expect(requests).toEqual([file, `${file} bytes=${2 * MIB}-`]);
  });

  test("or begins anew with a server that knows no ranges", async () => {
    const id = add(3 * MIB + 1);
    await fetchObject(id, [{ delivery: { cutAfter: 2 * MIB } }, { wholeOnly: true }]);
    expect(stored(id)).toBe(id);
  });

  test("what has arrived is used by the next run", async () => {
    const id = add(4 * MIB);
    const cut = { delivery: { cutAfter: 2 * MIB } };
    const off = { status: 503 };
    expect(await failure(fetchObject(id, [cut, off, off, off]))).toStartWith("Network: ");
    expect(stored(id)).toBeUndefined();
    expect(leftOver()).toEqual([`object-${id}`]);
    await fetchObject(id);
    expect(requests).toEqual([`/copy/objects/${objectPath(id)} bytes=${2 * MIB}-`]);
    expect(stored(id)).toBe(id);
    expect(leftOver()).toEqual([]);
  });

  test("unless it is not a part of the object", async () => {
    const id = add(4 * MIB + 1);
    await fetchObject(add(2 * MIB + 1));
    writeFileSync(join(path, "tmp", `object-${id}`), noise(MIB, 1));
    await fetchObject(id);
    expect(requests).toHaveLength(2);
    expect(stored(id)).toBe(id);
    expect(leftOver()).toEqual([]);
    writeFileSync(join(path, "tmp", `object-${id}`), noise(9 * MIB, 1));
    await fetchObject(id, [], { maxSize: 4 * MIB + 1 });
    expect(leftOver()).toEqual([]);
  });

  test("redirections are followed", async () => {
    const id = add(700);
    const location = `/moved/objects/${objectPath(id)}`;
    await fetchObject(id, [{ status: 302, location }]);
    expect(requests).toEqual([`/copy/objects/${objectPath(id)}`, location]);
    expect(stored(id)).toBe(id);
  });

  test("what is not there, and errors of the server", async () => {
    const id = fsVerityDigest(noise(10, 99), algorithm);
    expect(await failure(fetchObject(id))).toStartWith(
      `NotFound: object ${algorithm.hash}:${id} is not there: HTTP status 404 for http://127.0.0.1:${server.port}/copy/objects/`,
    );
    expect(requests).toHaveLength(1);
    expect(await failure(fetchObject(add(800), [{ status: 403 }]))).toStartWith(
      "Permission: access to object ",
    );
    expect(await failure(fetchObject(add(801), Array(3).fill({ status: 500 })))).toStartWith("Network: ");
    expect(requests).toHaveLength(3);
  });

  test.each([900, 2 * MIB + 9])(
    "a damaged object of %d bytes is replaced where that is asked for",
    async (size) => {
      const id = add(size);
      await fetchObject(id);
      const file = join(path, "objects", objectPath(id));
      writeFileSync(file, noise(size, 5));
      expect((await fetchObject(id)).created).toBe(false);
      expect(stored(id)).not.toBe(id);
      expect(await fetchObject(id, [], { replace: true })).toEqual({ size, created: true });
      expect(stored(id)).toBe(id);
      expect(readdirSync(join(path, "objects")).filter((name) => name.length > 2)).toEqual([]);
    },
  );
});
