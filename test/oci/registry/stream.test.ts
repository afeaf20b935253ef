import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import { startProxy } from "../../support/proxy.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import { addBlob, collect, connect, failure, NAME, never, QUICK_RETRIES, sampleBytes } from "./support.ts";

const bytes = sampleBytes(300_000);
let registry: TestRegistry;
let blob: Descriptor;

beforeEach(async () => {
  registry = await startRegistry();
  blob = addBlob(registry, bytes);
});
afterEach(() => registry[Symbol.dispose]());

const stream = (from = 0, signal = never(), options = {}) =>
  connect(registry, {}, options).stream(blob, from, signal);
const BLOBS = `/v2/${NAME}/blobs/`;

describe("a blob", () => {
  test("comes whole", async () => {
    expect(Buffer.compare(await collect(stream()), bytes)).toBe(0);
    expect(registry.requestsTo("/blobs/")).toHaveLength(1);
    expect(registry.requestsTo("/blobs/")[0]!.headers.has("range")).toBe(false);
  });

  test("comes from where it is wanted", async () => {
    expect(Buffer.compare(await collect(stream(123_456)), bytes.subarray(123_456))).toBe(0);
    expect(registry.sent(blob.digest)).toEqual([[123_456, 300_000]]);
  });

  test("needs no request when nothing of it is missing", async () => {
    expect(await collect(stream(300_000))).toHaveLength(0);
    expect(registry.requests).toHaveLength(0);
  });

  test("is read on where the connection broke", async () => {
    registry.fault(BLOBS, { cutAfter: 100_000 }, { times: 2 });
    expect(Buffer.compare(await collect(stream()), bytes)).toBe(0);
    expect(registry.sent(blob.digest)).toEqual([
      [0, 100_000],
      [100_000, 200_000],
      [200_000, 300_000],
    ]);
  });

  test("is read on when a body without a length ends early", async () => {
    registry.fault(BLOBS, { cutAfter: 100_000, contentLength: null });
    expect(Buffer.compare(await collect(stream()), bytes)).toBe(0);
    expect(registry.traffic(blob.digest)).toEqual({ bytes: 300_000, twice: 0 });
  });

  test("is skipped up to the place when the server has no ranges", async () => {
    registry.fault(BLOBS, { cutAfter: 100_000 });
    registry.fault(BLOBS, { ignoreRange: true }, { from: 2 });
    expect(Buffer.compare(await collect(stream()), bytes)).toBe(0);
    expect(registry.sent(blob.digest)).toEqual([
      [0, 100_000],
      [0, 300_000],
    ]);
  });

  test("is asked for as often as there is progress", async () => {
    registry.fault(BLOBS, { cutAfter: 70_000 }, { times: 10 });
    expect(await collect(stream(0, never(), { retries: { ...QUICK_RETRIES, attempts: 2 } }))).toHaveLength(
      300_000,
    );
  });

  test("is sent only once, wherever connections end", async () => {
    using secure = await startRegistry({ tls: true, name: "localhost", content: registry.content });
    using proxy = await startProxy({ cutAfter: 40_000 });
    const direct = connect(registry);
    const through = connect(secure, { proxy: () => proxy.url });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 90_000 }), { maxLength: 3 }), async (cuts) => {
        for (const [server, repository] of [
          [registry, direct],
          [secure, connect(secure)],
        ] as const) {
          server.clearRequests();
          server.clearFaults();
          for (const [i, cutAfter] of cuts.entries()) server.fault(BLOBS, { cutAfter }, { from: i + 1 });
          expect(Buffer.compare(await collect(repository.stream(blob, 0, never())), bytes)).toBe(0);
          expect(server.traffic(blob.digest)).toEqual({ bytes: 300_000, twice: 0 });
        }
      }),
      { numRuns: 15 },
    );
    secure.clearRequests();
    expect(Buffer.compare(await collect(through.stream(blob, 0, never())), bytes)).toBe(0);
    // what lies between the proxy and the client is whole TLS records; the rest of one is of no use
    expect(proxy.connections.length).toBeGreaterThan(7);
  });

  test("is sent only once to who takes it slowly", async () => {
    registry.fault(BLOBS, { cutAfter: 250_000 });
    const parts: Uint8Array[] = [];
    for await (const chunk of stream()) {
      parts.push(new Uint8Array(chunk));
      await Bun.sleep(20);
    }
    expect(Buffer.compare(Buffer.concat(parts), bytes)).toBe(0);
    expect(registry.traffic(blob.digest)).toEqual({ bytes: 300_000, twice: 0 });
  });

  test("is given up when there is no progress", async () => {
    registry.fault(BLOBS, { cutAfter: 10 }, { times: Infinity });
    const { kind, text } = await failure(collect(stream()));
    expect(kind).toBe("Network");
    expect(text).toContain("the connection was closed unexpectedly");
    expect(registry.requestsTo("/blobs/")).toHaveLength(QUICK_RETRIES.attempts);
  });

  test("is taken up again when nothing comes any more", async () => {
    registry.fault(BLOBS, { stallAfter: 150_000 });
    const errors: string[] = [];
    const onRetry = ({ message }: Error) => void errors.push(message);
    expect(Buffer.compare(await collect(stream(0, never(), { onRetry })), bytes)).toBe(0);
    expect(errors).toEqual([`${registry.host}: the transfer is too slow`]);
    expect(registry.sent(blob.digest)).toEqual([
      [0, 150_000],
      [150_000, 300_000],
    ]);
  });

  test("is taken up again when it comes too slowly", async () => {
    registry.fault(BLOBS, { bytesPerSecond: 2000 });
    expect(Buffer.compare(await collect(stream()), bytes)).toBe(0);
    expect(registry.requestsTo("/blobs/")).toHaveLength(2);
  });

  test("may be taken slowly", async () => {
    let size = 0;
    for await (const chunk of stream()) {
      size += chunk.length;
      await Bun.sleep(100);
      if (size > 200_000) break;
    }
    expect(registry.requestsTo("/blobs/")).toHaveLength(1);
  });

  test.each([408, 429, 500, 502, 503, 504])("is asked for again after status %d", async (status) => {
    registry.fault(BLOBS, { status }, { times: 2 });
    expect(await collect(stream())).toHaveLength(300_000);
    expect(registry.requestsTo("/blobs/").map((request) => request.status)).toEqual([status, status, 200]);
  });

  test.each([
    [400, "Invalid"],
    [403, "Permission"],
    [404, "NotFound"],
  ])("is not asked for again after status %d", async (status, kind) => {
    registry.fault(BLOBS, { status }, { times: Infinity });
    expect((await failure(collect(stream()))).kind).toBe(kind);
    expect(registry.requestsTo("/blobs/")).toHaveLength(1);
  });

  test("waits as long as the server asks for", async () => {
    registry.fault(BLOBS, { status: 429, headers: { "Retry-After": "1" } });
    const delays: number[] = [];
    const onRetry = (_: Error, delay: number) => void delays.push(delay);
    const started = performance.now();
    expect(await collect(stream(0, never(), { onRetry }))).toHaveLength(300_000);
    expect(delays).toEqual([1000]);
    expect(performance.now() - started).toBeGreaterThan(990);
  });

  test("is given up when the server wants it to be asked for much later", async () => {
    registry.fault(BLOBS, { status: 429, headers: { "Retry-After": "3600" } });
    const { text, error } = await failure(collect(stream()));
    expect(text).toContain("too many requests");
    expect(error.hint).toBe("try again in 3600 s, or log in");
  });

  test("has to be as large as the manifest says", async () => {
    const larger = { ...blob, size: 299_999 };
    const { kind, text } = await failure(collect(connect(registry).stream(larger, 0, never())));
    expect(kind).toBe("Corrupt");
    expect(text).toContain("has 300000 bytes, but the manifest says 299999");
    expect(registry.requestsTo("/blobs/")).toHaveLength(1);
  });

  test("has to be as large as the manifest says when it is asked for in part", async () => {
    const smaller = { ...blob, size: 300_001 };
    const { kind } = await failure(collect(connect(registry).stream(smaller, 5, never())));
    expect(kind).toBe("Corrupt");
  });

  test("must not go on for ever", async () => {
    registry.fault(BLOBS, { endless: true });
    const { kind, text } = await failure(collect(stream()));
    expect(kind).toBe("Corrupt");
    expect(text).toContain("is larger than 300000 bytes");
  });

  test.each([
    ["bytes 6-299999/300000", "it sent other bytes than asked for"],
    ["bytes 5-299999/400000", "has 400000 bytes"],
    ["bytes 5-399999/*", "has 400000 bytes"],
    ["bytes */300000", "doesn't say which part"],
    ["nonsense", "doesn't say which part"],
  ])("is refused with Content-Range: %s", async (range, message) => {
    registry.fault(BLOBS, { headers: { "Content-Range": range } }, { times: Infinity });
    expect((await failure(collect(stream(5)))).text).toContain(message);
  });

  test("is asked for again when the server gives less of a range than it was asked for", async () => {
    registry.fault(BLOBS, {
      headers: { "Content-Range": "bytes 5-99999/300000" },
      cutAfter: 99_995,
      contentLength: 99_995,
    });
    expect(Buffer.compare(await collect(stream(5)), bytes.subarray(5))).toBe(0);
  });
});

describe("a transfer", () => {
  test("ends when it is cancelled, and with it the connection", async () => {
    registry.fault(BLOBS, { bytesPerSecond: 100_000 });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    const { kind } = await failure(collect(stream(0, controller.signal)));
    expect(kind).toBe("Cancelled");
  });

  test("ends while it waits for another attempt", async () => {
    registry.fault(BLOBS, { status: 503, headers: { "Retry-After": "3" } });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    const started = performance.now();
    expect((await failure(collect(stream(0, controller.signal)))).kind).toBe("Cancelled");
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test("closes its connection when it is left early", async () => {
    registry.fault(BLOBS, { bytesPerSecond: 1_000_000 });
    for await (const _ of stream()) break;
    await Bun.sleep(100);
    expect(registry.traffic(blob.digest).bytes).toBeLessThan(200_000);
  });

  test("goes on in the next place, where the last one left it", async () => {
    using original = await startRegistry({ content: registry.content });
    registry.fault(BLOBS, { cutAfter: 100_000 });
    registry.fault(BLOBS, { status: 404 }, { from: 2, times: Infinity });
    const repository = connect(original, {
      endpoints: ({ path }) => [registry, original].map(({ host }) => ({ host, path, insecure: true })),
    });
    expect(Buffer.compare(await collect(repository.stream(blob, 0, never())), bytes)).toBe(0);
    expect(registry.sent(blob.digest)).toEqual([[0, 100_000]]);
    expect(original.sent(blob.digest)).toEqual([[100_000, 300_000]]);
  });
});
