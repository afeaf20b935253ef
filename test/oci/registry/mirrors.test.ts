import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import type { RegistryConfiguration, RegistryRepository } from "../../../src/oci/registry/types.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import { addBlob, addManifest, collect, connect, failure, NAME, never, sampleBytes } from "./support.ts";

let mirror: TestRegistry;
let original: TestRegistry;
let blob: Descriptor;

beforeEach(async () => {
  original = await startRegistry();
  mirror = await startRegistry({ content: original.content });
  addManifest(original, "v1");
  blob = addBlob(original, sampleBytes(100_000));
});
afterEach(() => {
  original[Symbol.dispose]();
  mirror[Symbol.dispose]();
});

function mirrored(access: "pull" | "push" = "pull"): RegistryRepository {
  const endpoints: RegistryConfiguration["endpoints"] = ({ path }, wanted) =>
    (wanted === "push" ? [original] : [mirror, original]).map(({ host }) => ({ host, path, insecure: true }));
  return connect(original, { endpoints }, { access });
}

const ALWAYS = { times: Number.POSITIVE_INFINITY };

test("a mirror that has everything is all that is asked", async () => {
  const repository = mirrored();
  await repository.manifest("v1");
  await collect(repository.stream(blob, 0, never()));
  expect(original.requests).toHaveLength(0);
});

test.each([404, 403, 500, 429])("a mirror that answers with status %d is passed over", async (status) => {
  mirror.fault("/v2/", { status }, ALWAYS);
  expect(await mirrored().manifest("v1")).toBeDefined();
});

test("a mirror that gives something else is passed over", async () => {
  mirror.fault(`/v2/${NAME}/manifests/`, { corruptAt: 20 }, ALWAYS);
  expect(await mirrored().manifest("v1")).toBeDefined();
});

test("a mirror that is down is passed over", async () => {
  mirror[Symbol.dispose]();
  const repository = mirrored();
  expect(await repository.manifest("v1")).toBeDefined();
  expect(await repository.readDocument(blob, 100_000, "Config")).toHaveLength(100_000);
});

test("blobs come from where the manifest came from", async () => {
  mirror.fault(`/v2/${NAME}/manifests/`, { status: 404 });
  const repository = mirrored();
  await repository.manifest("v1");
  mirror.clearRequests();
  await collect(repository.stream(blob, 0, never()));
  expect(mirror.requests).toHaveLength(0);
});

test("a mirror that turned out to be down is not asked again", async () => {
  mirror.fault("/v2/", { refuse: true }, ALWAYS);
  const repository = mirrored();
  await repository.manifest("v1");
  mirror.clearRequests();
  expect(await collect(repository.stream(blob, 0, never()))).toHaveLength(100_000);
  await repository.referrers(blob.digest);
  expect(mirror.requests).toHaveLength(0);
});

test("ranges come from the next place when one of them has none", async () => {
  mirror.fault(`/v2/${NAME}/blobs/`, { ignoreRange: true }, ALWAYS);
  let size = 0;
  for await (const piece of mirrored().streamRanges(blob, [{ offset: 10, length: 20 }], never()))
    size += piece.bytes.length;
  expect(size).toBe(20);
});

test("the error is the original's, and names what was tried before", async () => {
  mirror.fault(`/v2/${NAME}/manifests/`, { status: 403 }, ALWAYS);
  const { kind, text } = await failure(mirrored().manifest("v2"));
  expect(kind).toBe("NotFound");
  expect(text).toStartWith(`${original.host}: manifest v2 of ${NAME} not found`);
  expect(text).toContain(`also tried: ${mirror.host}/${NAME} (${mirror.host}: access to manifest v2`);
});

test("a tag that no place has is missing", async () => {
  expect(await mirrored().manifestByTag("v2")).toBeUndefined();
});

test("what is pushed goes to the original", async () => {
  const repository = mirrored("push");
  expect(await repository.hasBlob(blob.digest)).toBe(true);
  await repository.manifest("v1");
  expect(mirror.requests).toHaveLength(0);
});
