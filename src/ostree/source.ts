import type { Checksum } from "./checksum.ts";
import type { MetadataType } from "./objects.ts";

/** How a repository of ostree keeps its objects. */
export type RepositoryMode = "archive" | "bare" | "bare-user" | "bare-user-only" | "bare-split-xattrs";

/**
 * Where a pull gets ostree objects from. Nothing that it gives is trusted: the pull checks every object against its
 * checksum.
 */
export interface OstreeSource extends AsyncDisposable {
  /** For messages: a path or URL. */
  readonly label: string;
  /** How many calls of `readMetadata` under way at a time are of use. */
  readonly metadataConcurrency: number;
  /** How the files are got at. */
  readonly files: LocalFiles | RemoteFiles;

  /** The commit that a ref names. @throws CfsError NotFound, Invalid when the ref is malformed. */
  resolveRef(ref: string): Promise<Checksum>;

  /**
   * A commit, dirtree or dirmeta as it is stored, at most MAX_METADATA_SIZE bytes.
   * @throws CfsError NotFound
   */
  readMetadata(type: MetadataType, checksum: Checksum): Promise<Uint8Array<ArrayBuffer>>;

  /** What is stored beside a commit, such as signatures: `a{sv}`. Undefined when there is nothing. */
  readDetachedMetadata(commit: Checksum): Promise<Uint8Array<ArrayBuffer> | undefined>;
}

/** Files in a directory: the threads that need them open them themselves. */
export interface LocalFiles {
  readonly kind: "local";
  readonly mode: RepositoryMode;
  /** Descriptor of the directory `objects/`, valid in all threads of the process. */
  readonly objectsFd: number;
  /** Where files are that are not there. */
  readonly parent?: LocalFiles | undefined;
}

/** Files that have to be fetched. */
export interface RemoteFiles {
  readonly kind: "remote";
  /** How many of them to fetch at a time, as it looks now. */
  readonly concurrency: number;
  /**
   * Fetches a file in the form in which archives store it: header, then raw deflate data. Failures that may pass are
   * retried here; what the call and its pieces throw ends the pull.
   * @param signal fires when the pull has failed otherwise.
   */
  fetchFile(checksum: Checksum, signal: AbortSignal): Promise<FetchedFile>;
}

/** Bytes of a file, as it is fetched, up to which it is handed over as a whole. */
export const MAX_SMALL_FILE = 1024 * 1024;

export type FetchedFile =
  /** All of it: for files of up to `MAX_SMALL_FILE`. */
  | { readonly parts: readonly Uint8Array[]; readonly size: number }
  /** The rest of large files comes as it is read; each piece is valid until the next one is asked for. */
  | { readonly pieces: AsyncIterable<Uint8Array> };
