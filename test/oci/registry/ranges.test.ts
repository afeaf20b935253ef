import { afterEach, beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import type { RegistryRepository } from "../../../src/oci/registry/types.ts";
import type { ByteRange } from "../../../src/oci/source.ts";
import { type RegistryOptions, startRegistry, type TestRegistry } from "../../support/registry.ts";
import { addBlob, connect, failure, NAME, never, sampleBytes } from "./support.ts";

const bytes = sampleBytes(200_000);
const BLOBS = `/v2/${NAME}/blobs/`;
let registry: TestRegistry;
let blob: Descriptor;

async function start(options: RegistryOptions = {}): Promise<void> {
  registry = await startRegistry(options);
  blob = addBlob(registry, bytes);
}

beforeEach(() => start());
afterEach(() => registry[Symbol.dispose]());

/** Takes the ranges and compares them with the blob. @returns the ranges as they came, put together. */
async function take(
  ranges: readonly ByteRange[],
  repository: RegistryRepository = connect(registry),
): Promise<ByteRange[]> {
  const found: { offset: number; length: number }[] = [];
  for await (const piece of repository.streamRanges(blob, ranges, never())) {
    const { offset } = piece;
    const { length } = piece.bytes;
    expect(Buffer.compare(piece.bytes, bytes.subarray(offset, offset + length))).toBe(0);
    const last = found.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else found.push({ offset, length });
  }
  return found;
}

const THREE = [
  { offset: 0, length: 10 },
  { offset: 1000, length: 50_000 },
  { offset: 199_999, length: 1 },
];

function everyNth(count: number, step: number): ByteRange[] {
  return Array.from({ length: count }, (_, i) => ({ offset: i * step, length: 3 }));
}

const rangesAsked = () => registry.requestsTo("/blobs/").map(({ headers }) => headers.get("range"));

test("come in one request", async () => {
  expect(await take(THREE)).toEqual(THREE);
  expect(rangesAsked()).toEqual(["bytes=0-9,1000-50999,199999-199999"]);
});

test("need no request when there are none", async () => {
  expect(await take([])).toEqual([]);
  expect(registry.requests).toHaveLength(0);
});

test("come in several requests when there are many", async () => {
  const many = everyNth(1000, 150);
  expect(await take(many)).toEqual(many);
  const asked = rangesAsked();
  expect(asked.length).toBe(10);
  for (const header of asked) expect(header!.length).toBeLessThan(4096);
});

test("come one after the other from a server that knows only single ones", async () => {
  registry[Symbol.dispose]();
  await start({ ranges: "single" });
  const repository = connect(registry);
  const few = everyNth(5, 1000);
  expect(await take(few, repository)).toEqual(few);
  expect(rangesAsked()).toHaveLength(6);
  registry.clearRequests();
  expect(await take(few, repository)).toEqual(few);
  expect(rangesAsked()).toHaveLength(5);
  expect((await failure(take(everyNth(1000, 100), repository))).kind).toBe("Unsupported");
  expect(rangesAsked()).toHaveLength(5);
});

test("can't be had from a server that has no ranges", async () => {
  registry[Symbol.dispose]();
  await start({ ranges: "none" });
  const { kind, text } = await failure(take(THREE));
  expect(kind).toBe("Unsupported");
  expect(text).toContain(`${registry.host} can't send parts of blob ${blob.digest}`);
});

test.each([400, 416, 501])("are asked for one by one after status %d", async (status) => {
  registry.fault(BLOBS, { status });
  expect(await take(THREE)).toEqual(THREE);
  expect(rangesAsked()).toHaveLength(4);
});

test.each([
  [404, "NotFound"],
  [403, "Permission"],
])("are not asked for again after status %d", async (status, kind) => {
  registry.fault(BLOBS, { status }, { times: Infinity });
  expect((await failure(take(THREE))).kind).toBe(kind);
});

test("are read on where the connection broke", async () => {
  registry.fault(BLOBS, { cutAfter: 20_000, bytesPerSecond: 4_000_000 });
  expect(await take(THREE)).toEqual(THREE);
  const [, second] = rangesAsked();
  expect(second).toMatch(/^bytes=\d{5}-50999,199999-199999$/);
});

test("are asked for again when the server has a problem", async () => {
  registry.fault(BLOBS, { status: 503 }, { times: 2 });
  expect(await take(THREE)).toEqual(THREE);
});

test("are cut out of a whole blob when the server changes its mind", async () => {
  registry.fault(BLOBS, { cutAfter: 20_000, bytesPerSecond: 4_000_000 });
  registry.fault(BLOBS, { ignoreRange: true }, { from: 2 });
  expect(await take(THREE)).toEqual(THREE);
});

test("are given up when the replies are malformed", async () => {
  registry.fault(
    BLOBS,
    { headers: { "Content-Type": "multipart/byteranges; boundary=wrong" } },
    { times: Infinity },
  );
  const { kind, text } = await failure(take(THREE));
  expect(kind).toBe("Network");
  expect(text).toContain("malformed reply");
});

test.each([
  ["behind the end", [{ offset: 199_999, length: 2 }]],
  [
    "that overlap",
    [
      { offset: 0, length: 2 },
      { offset: 1, length: 2 },
    ],
  ],
  ["of nothing", [{ offset: 0, length: 0 }]],
])("%s are refused", async (_, ranges) => {
  expect((await failure(take(ranges))).kind).toBe("Invalid");
});

test("of any kind come as they are, from any kind of server", async () => {
  const gaps = fc.array(fc.tuple(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 3000 })), {
    minLength: 1,
    maxLength: 30,
  });
  const cuts = fc.array(fc.integer({ min: 0, max: 30_000 }), { maxLength: 2 });
  await fc.assert(
    fc.asyncProperty(gaps, cuts, fc.boolean(), async (pairs, cutAfter, single) => {
      registry.clearFaults();
      cutAfter.forEach((cut, i) => void registry.fault(BLOBS, { cutAfter: cut }, { from: i + 1 }));
      if (single && pairs.length > 1) registry.fault(BLOBS, { status: 416 });
      let at = 0;
      const ranges = pairs.map(([gap, length]) => {
        const offset = at + gap;
        at = offset + length;
        return { offset, length };
      });
      expect(await take(ranges)).toEqual(ranges);
    }),
    { numRuns: 40 },
  );
});
