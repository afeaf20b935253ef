import { CfsError, describeError, withContext } from "../../errors.ts";
import { DEFAULT_TIMEOUTS, HttpClient, type Timeouts } from "../../http/client.ts";
import { Fetcher } from "../../http/fetcher.ts";
import { publicUrl } from "../../http/file-url.ts";
import { DEFAULT_RETRIES, type RetryPolicy } from "../../http/retry.ts";
import { type Progress, silentProgress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import { type Checksum, parseChecksum } from "../checksum.ts";
import { MAX_METADATA_SIZE, type MetadataType } from "../objects.ts";
import { isRequired, verifySignatures } from "../signature/verification.ts";
import type { OstreeSource, RemoteFiles } from "../source.ts";
import { Concurrency } from "./concurrency.ts";
import { connectionSettings } from "./connection.ts";
import { downloadFile } from "./file-download.ts";
import { findMirrors } from "./mirrors.ts";
import type { RemoteSettings } from "./remote-settings.ts";
import { deltaIndexPath, objectPath } from "./remote-url.ts";
import { SummaryCache } from "./summary-cache.ts";
import { parseDeltaIndex, type Summary } from "./summary-format.ts";
import { FEW_RETRIES, loadSummary } from "./summary-loader.ts";

export interface RemoteOptions {
  /** Which part of `summary.idx` to use; that of this machine's architecture by default. */
  readonly subset?: string | undefined;
  /** Where summaries are kept. */
  readonly cache?: Repository | undefined;
  readonly progress?: Progress;
  readonly retries?: RetryPolicy;
  readonly timeouts?: Timeouts;
}

/** A checksum and a line end, and some room for spaces. */
const MAX_REF_SIZE = 4096;
const MAX_DELTA_INDEX_SIZE = 16 * 1024 * 1024;

/** A static delta that the repository has. */
export interface OfferedDelta {
  /** Undefined for a delta from nothing. */
  readonly from: Checksum | undefined;
  /** Of its superblock. */
  readonly checksum: Checksum;
}

/** A repository of ostree of the mode `archive` that is published over HTTP. */
export class RemoteRepository implements OstreeSource {
  readonly label: string;
  readonly files: RemoteFiles;
  readonly #settings: RemoteSettings;
  readonly #options: RemoteOptions;
  readonly #fetcher: Fetcher;
  readonly #content: Fetcher;
  readonly #abort: AbortController;
  readonly #concurrency = new Concurrency();
  #summary: Promise<Summary | undefined> | undefined;

  private constructor(
    settings: RemoteSettings,
    options: RemoteOptions,
    fetcher: Fetcher,
    content: Fetcher,
    abort: AbortController,
  ) {
    this.label = publicUrl(fetcher.url);
    this.#settings = settings;
    this.#options = options;
    this.#fetcher = fetcher;
    this.#content = content;
    this.#abort = abort;
    const concurrency = this.#concurrency;
    this.files = {
      kind: "remote",
      get concurrency() {
        return concurrency.limit;
      },
      fetchFile: (checksum, signal) =>
        downloadFile(content, checksum, signal, (ms) => concurrency.replied(ms)),
    };
  }

  /** Only a list of mirrors is fetched here. @throws CfsError Invalid, Network */
  static async open(settings: RemoteSettings, options: RemoteOptions = {}): Promise<RemoteRepository> {
    const { retries = DEFAULT_RETRIES, timeouts = DEFAULT_TIMEOUTS, progress = silentProgress } = options;
    const { tls, url, contentUrl } = settings;
    const client = new HttpClient(connectionSettings(settings), timeouts, tls.permissive, new Map());
    const abort = new AbortController();
    const common = {
      client,
      retries,
      signal: abort.signal,
      privateHeaders: settings.headers,
      onRetry: (error: CfsError, delay: number) =>
        progress.event({
          type: "message",
          text: `${describeError(error)}; trying again in ${Math.ceil(delay / 1000)} s`,
        }),
    };
    const fetcher = new Fetcher({ ...common, mirrors: await findMirrors(url, common) });
    const content =
      contentUrl === undefined
        ? fetcher
        : new Fetcher({ ...common, mirrors: await findMirrors(contentUrl, common) });
    return new RemoteRepository(settings, options, fetcher, content, abort);
  }

  get metadataConcurrency(): number {
    return this.#concurrency.limit;
  }

  /** Its list of refs; undefined when it has none. */
  summary(): Promise<Summary | undefined> {
    this.#summary ??= this.#loadSummary();
    return this.#summary;
  }

  async #loadSummary(): Promise<Summary | undefined> {
    const { cache, progress = silentProgress, subset = machineArchitecture() } = this.#options;
    const { verification } = this.#settings;
    const options = {
      fetcher: this.#fetcher,
      cache: cache === undefined ? undefined : new SummaryCache(cache, progress),
      verify: isRequired(verification.summary)
        ? (signed: Uint8Array, signatures: Uint8Array | undefined, what: string) =>
            verifySignatures(verification, verification.summary, signed, signatures, what)
        : undefined,
    };
    try {
      return await loadSummary(options, subset);
    } catch (error) {
      throw withContext(this.label, error);
    }
  }

  /** By the summary; where that does not list the ref, by the ref's own file. */
  async resolveRef(ref: string): Promise<Checksum> {
    checkRef(ref);
    const summary = await this.summary();
    const listed = summary?.refs.find(({ name }) => name === ref);
    if (listed !== undefined) return listed.commit;
    const hint = `\`cfsctl ostree list-refs ${this.label}\` lists the refs; a commit is named by all 64 digits of its id`;
    if (isRequired(this.#settings.verification.summary)) {
      const why =
        summary === undefined ? "there is no summary" : `the summary does not list the ref '${ref}'`;
      throw new CfsError("NotFound", `${this.label}: ${why}, and refs outside of it are not signed`, {
        hint,
      });
    }
    const request = { path: `refs/heads/${ref}`, what: `the ref '${ref}'` };
    try {
      const bytes = await this.#fetcher.bytes(request, MAX_REF_SIZE);
      return parseChecksum(Buffer.from(bytes).latin1Slice().trim(), request.what);
    } catch (error) {
      if (error instanceof CfsError && error.kind === "NotFound")
        throw new CfsError("NotFound", `${this.label} has no ref '${ref}'`, { hint, cause: error });
      throw withContext(this.label, error);
    }
  }

  readMetadata(type: MetadataType, checksum: Checksum): Promise<Uint8Array<ArrayBuffer>> {
    const request = { path: objectPath(checksum, type), what: `the ${type} ${checksum}` };
    return this.#content.bytes(request, MAX_METADATA_SIZE);
  }

  async readDetachedMetadata(commit: Checksum): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const request = { path: objectPath(commit, "commitmeta"), what: `the signatures of ${commit}` };
    try {
      return await this.#fetcher.bytes(request, MAX_METADATA_SIZE);
    } catch (error) {
      if (error instanceof CfsError && error.kind === "NotFound") return undefined;
      throw withContext(this.label, error);
    }
  }

  /** The static deltas to a commit, as the summary lists them, or else the list for this commit. */
  async deltasTo(commit: Checksum): Promise<OfferedDelta[]> {
    const listed = offered((await this.summary())?.deltas, commit);
    if (listed.length > 0) return listed;
    const request = { path: deltaIndexPath(commit), what: `the list of static deltas to ${commit}` };
    try {
      const bytes = await this.#content.bytes({ ...request, retries: FEW_RETRIES }, MAX_DELTA_INDEX_SIZE);
      return offered(parseDeltaIndex(bytes), commit);
    } catch (error) {
      // There is another way.
      if (error instanceof CfsError && error.kind !== "Cancelled") return [];
      throw error;
    }
  }

  /** A file of a static delta. @param name `superblock`, or the number of a part. @param max bytes */
  deltaFile(
    directory: string,
    name: string,
    max: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const what = name === "superblock" ? "the superblock of the static delta" : `delta part ${name}`;
    return this.#content.bytes(
      { path: `${directory}/${name}`, what, ...(signal !== undefined && { signal }) },
      max,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
  }
}

function offered(deltas: ReadonlyMap<string, Checksum> | undefined, to: Checksum): OfferedDelta[] {
  const found: OfferedDelta[] = [];
  for (const [name, checksum] of deltas ?? []) {
    if (name === to) found.push({ from: undefined, checksum });
    else if (name.endsWith(`-${to}`))
      found.push({ from: name.slice(0, -to.length - 1) as Checksum, checksum });
  }
  return found;
}

/** A ref is a path: it must not lead elsewhere. */
function checkRef(ref: string): void {
  if (ref.split("/").some((part) => part === "" || part === "." || part === ".."))
    throw new CfsError("Invalid", `'${ref}' is no ref: it has to be names with '/' between them`);
}

const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: "x86_64",
  arm64: "aarch64",
  ia32: "x86",
  ppc64: "powerpc64",
  loong64: "loongarch64",
};

/** The name of this machine's architecture, as the subsets of summaries have it. */
function machineArchitecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}
