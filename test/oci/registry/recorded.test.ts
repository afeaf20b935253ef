import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseManifest } from "../../../src/oci/manifest.ts";
import { openRegistryRepository } from "../../../src/oci/registry/client.ts";
import { parseDockerReference } from "../../../src/oci/registry/reference.ts";
import { PROJECT } from "../../support/project.ts";
import { type RegistryOptions, startRegistry, type TestRegistry } from "../../support/registry.ts";
import { collect, configuration, never, OCI_MANIFEST, QUICK_RETRIES } from "./support.ts";

const FIXTURES = join(PROJECT, "fixtures/oci/registry");
const NAME = "test/basic";

interface Recorded {
  readonly requests: readonly {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
  }[];
}

/** What skopeo sent for the same image, in the same circumstances. */
const recorded: Readonly<Record<string, Recorded>> = JSON.parse(
  readFileSync(join(FIXTURES, "requests.json"), "utf8"),
);
const manifest = readFileSync(join(FIXTURES, "basic-v1.manifest.json"));

async function start(options: RegistryOptions = {}): Promise<TestRegistry> {
  const registry = await startRegistry(options);
  registry.content.addManifest(NAME, manifest, OCI_MANIFEST, "v1");
  const { config, layers } = parseManifest(manifest);
  for (const { digest } of [config, ...layers]) {
    registry.content.addBlob(NAME, readFileSync(join(FIXTURES, "blobs", digest.replace("sha256:", ""))));
  }
  return registry;
}

/** A whole image, one blob after the other. */
async function pull(registry: TestRegistry): Promise<void> {
  const repository = openRegistryRepository(
    parseDockerReference(`${registry.host}/${NAME}:v1`),
    configuration(),
    { retries: QUICK_RETRIES },
  );
  const { bytes } = await repository.manifest("v1");
  const { config, layers } = parseManifest(bytes);
  await repository.readDocument(config, 10_000, "Config");
  // the order of the layers is the caller's affair: here it is that of the recording, the largest first
  for (const layer of [...layers].sort((a, b) => b.size - a.size))
    expect(await collect(repository.stream(layer, 0, never()))).toHaveLength(layer.size);
}

/** Requests without what differs between programs. */
function asSent(registry: TestRegistry): string[] {
  return registry.requests.map(({ method, path, query, headers }) => {
    const parameters =
      query.size === 0 ? "" : `?${query}`.replace("service=test+registry", "service=reg.test");
    return line(
      method,
      decodeURIComponent(path) + parameters,
      headers.get("authorization"),
      headers.get("range"),
    );
  });
}

function asRecorded(name: string): string[] {
  return recorded[name]!.requests.map(({ method, path, headers }) =>
    line(method, path, headers.Authorization ?? null, headers.Range ?? null),
  );
}

function line(method: string, path: string, authorization: string | null, range: string | null): string {
  return [method, path, authorization?.split(" ")[0], range]
    .filter((part) => part !== null && part !== undefined)
    .join(" ");
}

test("a pull sends the requests that registries know", async () => {
  using registry = await start();
  await pull(registry);
  expect(asSent(registry)).toEqual(asRecorded("plain"));
});

test("a pull with an anonymous token", async () => {
  using registry = await start({ auth: { scheme: "bearer", anonymousPull: true } });
  await pull(registry);
  expect(asSent(registry)).toEqual(asRecorded("bearer"));
});

test("a pull with two replies of status 429", async () => {
  using registry = await start();
  registry.fault(`/v2/${NAME}/blobs/`, { status: 429, headers: { "Retry-After": "0" } }, { times: 2 });
  await pull(registry);
  expect(asSent(registry)).toEqual(asRecorded("429"));
});

test("a pull whose first blob is cut half way", async () => {
  using registry = await start();
  registry.fault(`/v2/${NAME}/blobs/`, { cutAfter: 287, bytesPerSecond: 10_000 });
  await pull(registry);
  expect(asSent(registry)).toEqual(asRecorded("cut122"));
});

test("the manifest is asked for in the types that can be read", async () => {
  using registry = await start();
  await pull(registry);
  const known = recorded
    .plain!.requests[1]!.headers.Accept!.split(", ")
    .filter(
      (type) =>
        (!type.includes(".v1+prettyjws") && !type.includes("manifest.v1+json")) || type === OCI_MANIFEST,
    );
  expect(registry.requests[1]!.headers.get("accept")!.split(/, */)).toEqual(known);
  for (const { headers } of registry.requests) {
    expect(headers.get("user-agent")).toMatch(/^cfsctl\/\d+\.\d+\.\d+/);
    expect(headers.get("accept-encoding")).toBeNull();
  }
});
