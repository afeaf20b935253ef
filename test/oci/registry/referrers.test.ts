import { afterEach, describe, expect, test } from "bun:test";
import type { OciDigest } from "../../../src/oci/digest.ts";
import { referrersTag } from "../../../src/oci/registry/referrers.ts";
import { type RegistryOptions, startRegistry, type TestRegistry } from "../../support/registry.ts";
import { addManifest, connect, descriptorOf, failure, NAME, OCI_INDEX, OCI_MANIFEST } from "./support.ts";

const SIGNATURE = "application/vnd.example.signature";
const DELTA = "application/vnd.example.delta";
const REFERRERS = `/v2/${NAME}/referrers/`;

let registry: TestRegistry;
let subject: OciDigest;

async function start(options: RegistryOptions = {}): Promise<void> {
  registry = await startRegistry(options);
  subject = addManifest(registry, "v1");
}
afterEach(() => registry[Symbol.dispose]());

function refer(artifactType: string, tag: string): OciDigest {
  return addManifest(registry, tag, {
    artifactType,
    subject: { mediaType: OCI_MANIFEST, digest: subject, size: 1 },
  });
}

const digests = async (type?: string) =>
  (await connect(registry).referrers(subject, type)).map(({ digest }) => digest);

describe("referrers", () => {
  test("are listed, of one type or all", async () => {
    await start();
    const signature = refer(SIGNATURE, "s");
    const delta = refer(DELTA, "d");
    expect(new Set(await digests())).toEqual(new Set([signature, delta]));
    expect(await digests(SIGNATURE)).toEqual([signature]);
    expect(registry.requests.at(-1)!.query.get("artifactType")).toBe(SIGNATURE);
    expect((await connect(registry).referrers(subject, DELTA))[0]!.artifactType).toBe(DELTA);
  });

  test("are none", async () => {
    await start();
    expect(await digests()).toEqual([]);
  });

  test("are filtered when the registry doesn't", async () => {
    await start();
    const signature = refer(SIGNATURE, "s");
    refer(DELTA, "d");
    const all = registry.content.referrers(NAME, subject);
    registry.fault(REFERRERS, {
      body: JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: all }),
    });
    expect(await digests(SIGNATURE)).toEqual([signature]);
  });

  test("come in pages", async () => {
    await start();
    const page = (n: number) =>
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry(n)] });
    const entry = (n: number) => ({
      mediaType: OCI_MANIFEST,
      digest: descriptorOf(Buffer.from(`${n}`)).digest,
      size: n,
    });
    const next = (n: number) => ({ Link: `<${REFERRERS}${subject}?page=${n}>; rel="next"` });
    registry.fault(REFERRERS, { body: page(1), headers: next(2) }, { from: 1 });
    registry.fault(REFERRERS, { body: page(2), headers: next(3) }, { from: 2 });
    registry.fault(REFERRERS, { body: page(3) }, { from: 3 });
    expect((await connect(registry).referrers(subject)).map(({ size }) => size)).toEqual([1, 2, 3]);
  });

  test("don't go on for ever", async () => {
    await start();
    registry.fault(
      REFERRERS,
      { headers: { Link: `<${REFERRERS}${subject}>; rel=next` } },
      { times: Infinity },
    );
    expect((await failure(connect(registry).referrers(subject))).text).toContain("too many");
  });

  test("don't go on somewhere else", async () => {
    await start();
    using other = await startRegistry();
    registry.fault(REFERRERS, { headers: { Link: `<${other.url}${REFERRERS}${subject}>; rel="next"` } });
    expect(await digests()).toEqual([]);
    expect(other.requests).toHaveLength(0);
  });

  test.each<[string, (registry: TestRegistry) => void]>([
    ["no such thing", () => {}],
    [
      "a page for people",
      ({ fault }) =>
        fault(REFERRERS, { status: 200, headers: { "Content-Type": "text/html" }, body: "<html>" }),
    ],
    ["status 405", ({ fault }) => fault(REFERRERS, { status: 405 })],
  ])("come from a tag where the registry has %s", async (_, prepare) => {
    await start({ referrersApi: false });
    prepare(registry);
    const signature = refer(SIGNATURE, "s");
    const delta = refer(DELTA, "d");
    const entries = [signature, delta].map((digest, i) => ({
      mediaType: OCI_MANIFEST,
      digest,
      size: 1,
      artifactType: [SIGNATURE, DELTA][i],
    }));
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: entries };
    registry.content.addManifest(NAME, index, OCI_INDEX, referrersTag(subject));
    expect(await digests()).toEqual([signature, delta]);
    expect(await digests(DELTA)).toEqual([delta]);
  });

  test("are none where there is neither", async () => {
    await start({ referrersApi: false });
    expect(await digests()).toEqual([]);
  });

  test("are not none when they can't be had", async () => {
    await start();
    registry.fault(REFERRERS, { status: 403 });
    expect((await failure(connect(registry).referrers(subject))).kind).toBe("Permission");
  });

  test("that are no index are an error", async () => {
    await start();
    registry.fault(REFERRERS, { body: '{"schemaVersion":2}' });
    expect((await failure(connect(registry).referrers(subject))).kind).toBe("Invalid");
  });
});

test.each([
  [`sha256:${"ab".repeat(32)}`, `sha256-${"ab".repeat(32)}`],
  [`sha512:${"ab".repeat(64)}`, `sha512-${"ab".repeat(32)}`],
])("tag of the referrers of %s", (digest, tag) => {
  expect(referrersTag(digest as OciDigest)).toBe(tag);
});
