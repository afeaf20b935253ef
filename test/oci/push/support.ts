import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CfsError, describeError } from "../../../src/errors.ts";
import { openTarget, type TargetOptions } from "../../../src/oci/push/open-target.ts";
import {
  type IndexPushReport,
  type PushReport,
  pushAllPlatforms,
  pushImage,
} from "../../../src/oci/push/push.ts";
import type { PushOptions } from "../../../src/oci/push/push-blobs.ts";
import type { RegistryConfiguration } from "../../../src/oci/registry/types.ts";
import { silentProgress } from "../../../src/progress.ts";
import type { Repository } from "../../../src/repository/repository.ts";

/** A registry in the process of the test: without TLS, and open to everybody. */
export const PLAIN_REGISTRY: RegistryConfiguration = {
  endpoints: ({ host, path }) => [{ host, path, insecure: true }],
  credentials: async () => undefined,
  tls: () => ({ ca: [] }),
  proxy: () => undefined,
};

export interface PushTestOptions extends Partial<PushOptions> {
  readonly mountFrom?: TargetOptions["mountFrom"];
}

export async function push(
  repository: Repository,
  name: string,
  destination: string,
  { mountFrom, ...options }: PushTestOptions = {},
): Promise<PushReport> {
  await using target = openTarget(repository, destination, {
    progress: silentProgress,
    registries: PLAIN_REGISTRY,
    ...(mountFrom !== undefined && { mountFrom }),
  });
  return await pushImage(repository, name, target, {
    compression: "gzip",
    level: undefined,
    jobs: 1,
    ...options,
  });
}

/** As `push`, the images of all platforms. */
export async function pushAll(
  repository: Repository,
  tag: string,
  destination: string,
): Promise<IndexPushReport> {
  await using target = openTarget(repository, destination, {
    progress: silentProgress,
    registries: PLAIN_REGISTRY,
  });
  return await pushAllPlatforms(repository, tag, target, { compression: "gzip", level: undefined, jobs: 1 });
}

/** What a failed action says; empty when it does not fail. */
export async function failure(action: Promise<unknown>): Promise<string> {
  try {
    await action;
  } catch (error) {
    if (error instanceof CfsError) return describeError(error);
    throw error;
  }
  return "";
}

export interface ManifestJson {
  readonly mediaType: string;
  readonly config: { readonly mediaType: string; readonly digest: string };
  readonly layers: readonly { readonly mediaType: string; readonly digest: string; readonly size: number }[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export function layoutBlob(layout: string, digest: string): Buffer {
  const bytes = readFileSync(join(layout, "blobs", ...digest.split(":")));
  const [algorithm, hex] = digest.split(":");
  const found = createHash(algorithm!).update(bytes).digest("hex");
  if (found !== hex) throw new Error(`the blob ${digest} of ${layout} is damaged`);
  return bytes;
}

export function layoutManifest(layout: string, digest: string): ManifestJson {
  return JSON.parse(layoutBlob(layout, digest).toString()) as ManifestJson;
}

/** Digest of what a layer is without its compression. */
export function plainDigest(mediaType: string, blob: Uint8Array<ArrayBuffer>): string {
  const plain = /gzip$/.test(mediaType)
    ? Bun.gunzipSync(blob)
    : /zstd$/.test(mediaType)
      ? Bun.zstdDecompressSync(blob)
      : blob;
  return `sha256:${createHash("sha256").update(plain).digest("hex")}`;
}
