import { gunzipSync } from "node:zlib";
import { CfsError, withContext } from "../../errors.ts";
import type { Fetcher } from "../../http/fetcher.ts";
import { DEFAULT_RETRIES } from "../../http/retry.ts";
import { computeChecksum } from "../checksum.ts";
import type { CachedSummary, SummaryCache } from "./summary-cache.ts";
import { parseSummary, parseSummaryIndex, type Summary } from "./summary-format.ts";

/** More than ten times those of the largest repositories; the index of which holds only checksums. */
const MAX_SUMMARY_SIZE = 128 * 1024 * 1024;
const MAX_INDEX_SIZE = 16 * 1024 * 1024;
const MAX_SIGNATURE_SIZE = 4 * 1024 * 1024;
/** For what can be done without. */
export const FEW_RETRIES = { ...DEFAULT_RETRIES, attempts: 2 };
const NOT_MODIFIED = 304;

const SUMMARY_FILE = "summary";
const INDEX_FILE = "summary.idx";

export interface SummaryLoaderOptions {
  readonly fetcher: Fetcher;
  readonly cache?: SummaryCache | undefined;
  /**
   * Checks what is signed: a summary or an index. Its file of signatures is undefined when there is none.
   * @throws CfsError Permission. Undefined when signatures don't matter.
   */
  readonly verify?:
    | ((signed: Uint8Array, signatures: Uint8Array | undefined, what: string) => void)
    | undefined;
}

/**
 * The summary of a repository: that of a subset, if `summary.idx` has one, else the file `summary`.
 * @returns undefined when the repository has none.
 */
export async function loadSummary(
  options: SummaryLoaderOptions,
  subset: string,
): Promise<Summary | undefined> {
  const bytes = (await loadSubset(options, subset)) ?? (await loadWhole(options));
  if (bytes === undefined) return undefined;
  try {
    return parseSummary(bytes);
  } catch (error) {
    throw withContext("the summary of the repository", error);
  }
}

async function loadSubset(options: SummaryLoaderOptions, subset: string): Promise<Uint8Array | undefined> {
  const { fetcher, cache } = options;
  const checksum = (await loadIndex(options))?.get(subset);
  if (checksum === undefined) return undefined;
  const url = fetcher.url;
  const cached = cache?.load(url, subset);
  if (cached?.checksum === checksum) return cached.bytes;
  const what = `the summary of the subset '${subset}'`;
  const packed = await fetcher.bytes({ path: `summaries/${checksum}.gz`, what }, MAX_SUMMARY_SIZE);
  const bytes = inflate(packed, what);
  const found = computeChecksum(bytes);
  if (found !== checksum) {
    throw new CfsError("Corrupt", `subsummary checksum mismatch: expected ${checksum}, got ${found}`, {
      data: { expected: checksum, found },
    });
  }
  cache?.store(url, subset, { bytes, checksum, etag: "", lastModified: "" });
  return bytes;
}

async function loadIndex(
  options: SummaryLoaderOptions,
): Promise<ReturnType<typeof parseSummaryIndex> | undefined> {
  const request = { path: INDEX_FILE, what: "the summary's index", retries: FEW_RETRIES };
  let bytes: Uint8Array;
  try {
    bytes = await options.fetcher.bytes(request, MAX_INDEX_SIZE);
  } catch (error) {
    if (error instanceof CfsError && error.kind !== "Cancelled") return undefined;
    throw error;
  }
  await verify(options, bytes, INDEX_FILE);
  try {
    return parseSummaryIndex(bytes);
  } catch (error) {
    throw withContext(request.what, error);
  }
}

async function loadWhole(options: SummaryLoaderOptions): Promise<Uint8Array | undefined> {
  const { fetcher, cache } = options;
  const url = fetcher.url;
  const cached = cache?.load(url, undefined);
  const request = {
    path: SUMMARY_FILE,
    what: "the summary",
    headers: conditionOf(cached),
    accept: [NOT_MODIFIED],
  };
  let summary: CachedSummary;
  try {
    summary = await fetcher.fetch(request, async (reply) => {
      if (reply.status === NOT_MODIFIED && cached !== undefined) {
        await reply.discard();
        return cached;
      }
      const bytes = await reply.bytes(MAX_SUMMARY_SIZE, request.what);
      const etag = reply.headers.get("etag") ?? "";
      return {
        bytes,
        checksum: computeChecksum(bytes),
        etag,
        lastModified: reply.headers.get("last-modified") ?? "",
      };
    });
  } catch (error) {
    if (error instanceof CfsError && error.kind === "NotFound") return undefined;
    throw error;
  }
  await verify(options, summary.bytes, SUMMARY_FILE);
  if (summary !== cached) cache?.store(url, undefined, summary);
  return summary.bytes;
}

function conditionOf(cached: CachedSummary | undefined): Record<string, string> {
  if (cached === undefined) return {};
  if (cached.etag !== "") return { "If-None-Match": cached.etag };
  return cached.lastModified === "" ? {} : { "If-Modified-Since": cached.lastModified };
}

/** Compares a file with its signatures, which are in the file `NAME.sig`, where this is asked for. */
async function verify(options: SummaryLoaderOptions, bytes: Uint8Array, file: string): Promise<void> {
  if (options.verify === undefined) return;
  let signatures: Uint8Array | undefined;
  try {
    const request = { path: `${file}.sig`, what: `the signatures of ${file}` };
    signatures = await options.fetcher.bytes(request, MAX_SIGNATURE_SIZE);
  } catch (error) {
    if (!(error instanceof CfsError) || error.kind !== "NotFound") throw error;
  }
  options.verify(bytes, signatures, file);
}

function inflate(packed: Uint8Array, what: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(gunzipSync(packed, { maxOutputLength: MAX_SUMMARY_SIZE }));
  } catch (error) {
    throw new CfsError("Corrupt", `${what} can't be unpacked`, { cause: error });
  }
}
