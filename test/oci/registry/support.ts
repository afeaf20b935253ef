import { CfsError, describeError, kindOf } from "../../../src/errors.ts";
import type { Timeouts } from "../../../src/http/client.ts";
import type { RetryPolicy } from "../../../src/http/retry.ts";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import { computeDigest, type OciDigest } from "../../../src/oci/digest.ts";
import { type ClientOptions, openRegistryRepository } from "../../../src/oci/registry/client.ts";
import { parseDockerReference } from "../../../src/oci/registry/reference.ts";
import type {
  Credentials,
  RegistryConfiguration,
  RegistryRepository,
} from "../../../src/oci/registry/types.ts";
import type { TestRegistry } from "../../support/registry.ts";

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";

/** The repository that tests use. */
export const NAME = "team/app";

export const QUICK_RETRIES: RetryPolicy = { attempts: 4, firstDelay: 2, maxDelay: 8, maxRetryAfter: 3000 };

export const QUICK_TIMEOUTS: Timeouts = { reply: 300, finish: 800, speedWindow: 200, lowSpeed: 10_000 };

export interface Configured extends Partial<RegistryConfiguration> {
  readonly user?: Credentials;
  readonly insecure?: boolean;
  readonly ca?: string;
}

/** The configuration of a user without mirrors and proxies. Test registries without TLS are marked as insecure. */
export function configuration({
  user,
  insecure = true,
  ca,
  ...others
}: Configured = {}): RegistryConfiguration {
  return {
    endpoints: ({ host, path }) => [{ host, path, insecure }],
    credentials: async () => user,
    tls: () => ({ ca: ca === undefined ? [] : [ca] }),
    proxy: () => undefined,
    ...others,
  };
}

export function connect(
  registry: Pick<TestRegistry, "host">,
  configured: Configured = {},
  options: ClientOptions = {},
): RegistryRepository {
  return openRegistryRepository(parseDockerReference(`${registry.host}/${NAME}`), configuration(configured), {
    retries: QUICK_RETRIES,
    timeouts: QUICK_TIMEOUTS,
    ...options,
  });
}

/** Bytes without a pattern that a wrong offset could hide behind. */
export function sampleBytes(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = seed;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

export function descriptorOf(bytes: Uint8Array, mediaType = "application/octet-stream"): Descriptor {
  return { mediaType, digest: computeDigest(bytes), size: bytes.length, annotations: new Map() };
}

export function addBlob(registry: TestRegistry, bytes: Uint8Array): Descriptor {
  registry.content.addBlob(NAME, bytes);
  return descriptorOf(bytes);
}

/** A manifest with no layers. */
export function addManifest(registry: TestRegistry, tag: string, extra: object = {}): OciDigest {
  const config = addBlob(registry, Buffer.from("{}"));
  const { digest } = registry.content.addManifest(
    NAME,
    { schemaVersion: 2, mediaType: OCI_MANIFEST, config: plain(config), layers: [], ...extra },
    OCI_MANIFEST,
    tag,
  );
  return digest as OciDigest;
}

export function plain({ mediaType, digest, size }: Descriptor): object {
  return { mediaType, digest, size };
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(new Uint8Array(chunk));
  return Buffer.concat(parts);
}

export function never(): AbortSignal {
  return new AbortController().signal;
}

/** Kind and text of the error that something ends with. */
export async function failure(
  action: Promise<unknown>,
): Promise<{ kind: string | undefined; text: string; error: CfsError }> {
  try {
    await action;
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return { kind: kindOf(error), text: describeError(error), error };
  }
  throw new Error("it succeeded");
}

/** `METHOD PATH` of all requests. */
export function requestLines(registry: TestRegistry): string[] {
  return registry.requests.map(({ method, path }) => `${method} ${decodeURIComponent(path)}`);
}
