import { byteString, fromText, toText } from "../../bytes.ts";
import { CfsError, withContext } from "../../errors.ts";
import { DT_DIR, DT_REG, listDirectory, openDirectory } from "../../sys/dir.ts";
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

/** Repositories that stand behind one another. */
const MAX_PARENTS = 8;
const MAX_REFS = 1_000_000;
const MAX_REF_DEPTH = 64;

/** A ref of a repository. */
export interface LocalRef {
  readonly name: string;
  readonly commit: Checksum;
}

/** Directories below `refs/`, and the names of what is in them. */
const REF_PLACES: readonly { directory: string; nameOf: (path: string) => string | undefined }[] = [
  { directory: "heads", nameOf: (path) => path },
  {
    directory: "remotes",
    nameOf: (path) => (path.includes("/") ? path.replace("/", ":") : undefined),
  },
];

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
  /** Has what this one lacks: `parent=` of its configuration. */
  readonly #parent: LocalRepository | undefined;

  private constructor(
    path: string,
    top: Fd,
    mode: RepositoryMode,
    objects: Fd,
    parent: LocalRepository | undefined,
  ) {
    this.label = path;
    this.mode = mode;
    this.#top = top;
    this.#objects = objects;
    this.#parent = parent;
    this.files = { kind: "local", mode, objectsFd: objects.fd, parent: parent?.files };
  }

  /** @throws CfsError NotFound, Invalid when it is no repository, Unsupported for a mode that nobody knows. */
  static open(path: string): LocalRepository {
    return LocalRepository.#open(path, 0);
  }

  static #open(path: string, children: number): LocalRepository {
    try {
      if (children > MAX_PARENTS)
        throw new CfsError("Unsupported", `it has more than ${MAX_PARENTS} children, or is its own parent`);
      using stack = new DisposableStack();
      const top = stack.use(open(path, O_RDONLY | O_DIRECTORY));
      const { mode, parent } = readConfiguration(top);
      const objects = stack.use(openDirectory(top.fd, "objects"));
      const opened = parent === undefined ? undefined : LocalRepository.#open(parent, children + 1);
      const repository = new LocalRepository(path, top, mode, objects, opened);
      stack.move();
      return repository;
    } catch (error) {
      throw withContext(`Cannot open ostree repository at ${path}`, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#objects.close();
    this.#top.close();
    await this.#parent?.[Symbol.asyncDispose]();
  }

  /**
   * Looks for `refs/REF`, then for `refs/heads/REF`; and `REMOTE:REF` is what that remote had when it was last asked.
   * What is not there is looked for in the parent repository.
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
    if (this.#parent !== undefined) return await this.#parent.resolveRef(ref);
    throw new CfsError("NotFound", `${this.label} has no ref '${ref}'`, {
      hint: "`ostree refs --repo=PATH` lists them; a commit is named by all 64 digits of its id",
    });
  }

  /** What refs there are, as they are given to `resolveRef`, sorted by name. */
  refs(): LocalRef[] {
    const found = new Map<string, Checksum>(
      (this.#parent?.refs() ?? []).map((ref) => [ref.name, ref.commit]),
    );
    for (const { directory, nameOf } of REF_PLACES) {
      for (const path of this.#refPaths(directory)) {
        const name = nameOf(path);
        const text = this.#readRef(`${directory}/${path}`);
        if (name === undefined || text === undefined) continue;
        found.set(name, parseChecksum(text.trim(), `refs/${directory}/${path} of ${this.label}`));
      }
    }
    const refs = [...found].map(([name, commit]) => ({ name, commit }));
    return refs.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Names of the files below a directory of `refs/`. */
  #refPaths(directory: string): string[] {
    const paths: string[] = [];
    const walk = (parent: Fd, prefix: string, depth: number) => {
      for (const { name, type } of listDirectory(parent, MAX_REFS)) {
        const text = toText(name);
        if (text === undefined) continue;
        if (type === DT_REG) paths.push(prefix + text);
        if (type !== DT_DIR || depth === MAX_REF_DEPTH) continue;
        using sub = openDirectory(parent.fd, name);
        walk(sub, `${prefix}${text}/`, depth + 1);
      }
    };
    try {
      using refs = openDirectory(this.#top.fd, "refs");
      using top = openDirectory(refs.fd, directory);
      walk(top, "", 0);
    } catch (error) {
      if (!isErrno(error, ENOENT, ENOTDIR)) throw withContext(`${this.label}: refs/${directory}`, error);
    }
    return paths;
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
    const parent = this.#parent;
    try {
      return this.#read(objectFile(checksum, type));
    } catch (error) {
      if (parent === undefined || !isMissing(error)) throw error;
      return await parent.readMetadata(type, checksum);
    }
  }

  async readDetachedMetadata(commit: Checksum): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      return this.#read(objectFile(commit, "commitmeta"));
    } catch (error) {
      if (isMissing(error)) return await this.#parent?.readDetachedMetadata(commit);
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

function isMissing(error: unknown): boolean {
  return error instanceof CfsError && error.kind === "NotFound";
}

interface Configuration {
  readonly mode: RepositoryMode;
  /** Path of a repository. */
  readonly parent: string | undefined;
}

function readConfiguration(top: Fd): Configuration {
  using file = openat(top.fd, "config", O_RDONLY);
  const config = parseKeyFile(new TextDecoder().decode(readSmallFile(file, MAX_CONFIG_SIZE)));
  const core = config.get("core");
  const name = core?.get("mode");
  if (name === undefined) throw new CfsError("Invalid", "its config has no [core] mode");
  const mode = MODES[name];
  if (mode === undefined) throw new CfsError("Unsupported", `the repository mode '${name}' is unknown`);
  const parent = core?.get("parent");
  return { mode, parent: parent === "" ? undefined : parent };
}
