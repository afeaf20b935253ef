import { byteString, fromText } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import { openDirectory } from "../../sys/dir.ts";
import { ENOENT, ENOTDIR, isErrno } from "../../sys/errno.ts";
import type { Fd } from "../../sys/fd.ts";
import { O_DIRECTORY, O_NONBLOCK, O_RDONLY, open, openat, pread, readSmallFile } from "../../sys/file.ts";
import { openBeneath } from "../../sys/openat2.ts";
import { fstat } from "../../sys/stat.ts";
import { type Checksum, parseChecksum } from "../checksum.ts";
import { MAX_METADATA_SIZE, type MetadataType } from "../objects.ts";
import type { LocalFiles, OstreeSource, RepositoryMode } from "../source.ts";
import { parseKeyFile } from "./key-file.ts";
import { objectFile, openObject } from "./open-file.ts";

const MAX_CONFIG_SIZE = 1024 * 1024;
/** A checksum and a line end, and some room for spaces. */
const MAX_REF_SIZE = 4096;

const MODES: Readonly<Record<string, RepositoryMode>> = {
  archive: "archive",
  "archive-z2": "archive",
  bare: "bare",
  "bare-user": "bare-user",
  "bare-user-only": "bare-user-only",
  "bare-split-xattrs": "bare-split-xattrs",
};

/** A repository of ostree in a directory, to be read. */
export class LocalRepository implements OstreeSource {
  readonly label: string;
  readonly mode: RepositoryMode;
  readonly metadataConcurrency = 1;
  readonly files: LocalFiles;
  readonly #top: Fd;
  readonly #objects: Fd;

  private constructor(path: string, top: Fd, mode: RepositoryMode, objects: Fd) {
    this.label = path;
    this.mode = mode;
    this.#top = top;
    this.#objects = objects;
    this.files = { kind: "local", mode, objectsFd: objects.fd };
  }

  /** @throws CfsError NotFound, Invalid when it is no repository, Unsupported for a mode that nobody knows. */
  static open(path: string): LocalRepository {
    try {
      using stack = new DisposableStack();
      const top = stack.use(open(path, O_RDONLY | O_DIRECTORY));
      const mode = readMode(top);
      const objects = stack.use(openDirectory(top.fd, "objects"));
      const repository = new LocalRepository(path, top, mode, objects);
      stack.move();
      return repository;
    } catch (error) {
      throw withContext(`Cannot open ostree repository at ${path}`, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#objects.close();
    this.#top.close();
  }

  /**
   * Looks for `refs/REF`, then for `refs/heads/REF`; and `REMOTE:REF` is what that remote had when it was last asked.
   */
  async resolveRef(ref: string): Promise<Checksum> {
    const colon = ref.indexOf(":");
    const paths = [
      ref,
      `heads/${ref}`,
      ...(colon > 0 ? [`remotes/${ref.slice(0, colon)}/${ref.slice(colon + 1)}`] : []),
    ];
    for (const path of paths) {
      const text = this.#readRef(path);
      if (text !== undefined) return parseChecksum(text.trim(), `refs/${path} of ${this.label}`);
    }
    throw new CfsError("NotFound", `${this.label} has no ref '${ref}'`, {
      hint: "`ostree refs --repo=PATH` lists them; a commit is named by all 64 digits of its id",
    });
  }

  #readRef(path: string): string | undefined {
    try {
      using refs = openDirectory(this.#top.fd, "refs");
      using file = openBeneath(refs.fd, fromText(path), O_RDONLY | O_NONBLOCK, "follow", `refs/${path}`);
      return byteString(readSmallFile(file, MAX_REF_SIZE));
    } catch (error) {
      if (isErrno(error, ENOENT, ENOTDIR)) return undefined;
      throw withContext(`Can't read ref file refs/${path}`, error);
    }
  }

  async readMetadata(type: MetadataType, checksum: Checksum): Promise<Uint8Array<ArrayBuffer>> {
    return this.#read(objectFile(checksum, type));
  }

  async readDetachedMetadata(commit: Checksum): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      return this.#read(objectFile(commit, "commitmeta"));
    } catch (error) {
      if (error instanceof CfsError && error.kind === "NotFound") return undefined;
      throw error;
    }
  }

  #read(path: string): Uint8Array<ArrayBuffer> {
    using file = openObject(this.#objects.fd, path);
    const { size } = fstat(file);
    if (size > MAX_METADATA_SIZE)
      throw new CfsError("Corrupt", `${file.path}: ${size} bytes are too many for metadata`);
    const bytes = new Uint8Array(size);
    if (pread(file.fd, bytes, 0, file.path) !== size)
      throw new CfsError("Corrupt", `${file.path} ends unexpectedly`);
    return bytes;
  }
}

function readMode(top: Fd): RepositoryMode {
  using file = openat(top.fd, "config", O_RDONLY);
  const config = parseKeyFile(new TextDecoder().decode(readSmallFile(file, MAX_CONFIG_SIZE)));
  const name = config.get("core")?.get("mode");
  if (name === undefined) throw new CfsError("Invalid", "its config has no [core] mode");
  const mode = MODES[name];
  if (mode === undefined) throw new CfsError("Unsupported", `the repository mode '${name}' is unknown`);
  return mode;
}
