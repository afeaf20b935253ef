import { CfsError, withContext } from "../../errors.ts";
import { type Checksum, computeChecksum } from "../checksum.ts";
import type { CommitStreamWriter } from "../commit-stream-writer.ts";
import { CommitTable, type ObjectLookup, type StoredObject } from "../commit-table.ts";
import {
  type Commit,
  type DirTree,
  MAX_METADATA_SIZE,
  type MetadataType,
  type ObjectType,
  parseCommit,
  parseDirMeta,
  parseDirTree,
} from "../objects.ts";
import type { OstreeSource } from "../source.ts";
import { type Part, type Subpaths, selectEntries } from "../subpaths.ts";
import { SharedObjects } from "./shared-objects.ts";

/** Of all metadata of a commit: a real one with a million files has a tenth of it. */
const MAX_TOTAL_SIZE = 1024 * 1024 * 1024;

/** Objects between two turns of the event loop. */
const TURN = 32;

interface Wanted {
  readonly type: MetadataType;
  readonly checksum: Checksum;
}

export interface WalkOptions {
  /** Commits that are in the repository: what they have is not fetched. */
  readonly bases: readonly ObjectLookup[];
  /** Wants a file that no base has. */
  readonly onFile: (checksum: Checksum) => void;
  /** Told of metadata that was fetched, and is verified. */
  readonly onFetched?: (checksum: Checksum, bytes: Uint8Array) => void;
  /** Told of metadata that arrived wrong, and is fetched once more. */
  readonly onWrong: (what: string) => void;
  /** Looks at the commit before anything that it refers to is looked for; may add bases. */
  readonly onCommit: (commit: Commit) => Promise<void>;
}

/** Finds out what a commit consists of: fetches and verifies its metadata, and tells which files are missing. */
export class ObjectWalk {
  readonly #source: OstreeSource;
  readonly #objects: CommitStreamWriter;
  readonly #options: WalkOptions;
  /** Each object once, except for what was there already in a table. */
  readonly #types = new Map<Checksum, ObjectType>();
  readonly #stack: Wanted[] = [];
  readonly #shared = new Map<CommitTable, SharedObjects>();
  #fetched = 0;
  #bytes = 0;

  /** @param objects gets the metadata, and of files what bases have. */
  constructor(source: OstreeSource, objects: CommitStreamWriter, options: WalkOptions) {
    this.#source = source;
    this.#objects = objects;
    this.#options = options;
  }

  /** Metadata objects that no base had. */
  get fetched(): number {
    return this.#fetched;
  }

  /** All that can be reached from a commit, or what of it is below some paths and leads there. */
  async run(checksum: Checksum, subpaths?: Subpaths): Promise<void> {
    this.#types.set(checksum, "commit");
    const bytes =
      this.#inBases("commit", checksum)?.data ?? (await this.#fetch({ type: "commit", checksum }));
    let commit: Commit;
    try {
      commit = parseCommit(bytes);
    } catch (error) {
      throw this.#named("commit", checksum, error);
    }
    await this.#options.onCommit(commit);
    this.#objects.add(checksum, bytes);
    this.#want("dirmeta", commit.rootMeta);
    if (subpaths === undefined) this.#want("dirtree", commit.rootTree);
    else await this.#descend(commit.rootTree, subpaths.top);
    await this.#workOff();
    for (const { table, types } of this.#shared.values()) this.#objects.addMarked(table, types);
  }

  /** Wants the parts of a directory, and adds the directories that lead there. */
  async #descend(checksum: Checksum, part: Part): Promise<void> {
    if (part === "all") {
      this.#want("dirtree", checksum);
      return;
    }
    const stored = this.#inBases("dirtree", checksum)?.data;
    const bytes = stored ?? (await this.#fetch({ type: "dirtree", checksum }));
    const wanted = this.#selected(checksum, bytes, part);
    this.#objects.add(checksum, bytes);
    for (const { file } of wanted.files) this.#want("file", file);
    for (const { meta } of wanted.directories) this.#want("dirmeta", meta);
    await Promise.all(wanted.directories.map(({ tree, part }) => this.#descend(tree, part)));
  }

  #selected(checksum: Checksum, bytes: Uint8Array, part: Part): ReturnType<typeof selectEntries> {
    let tree: DirTree;
    try {
      tree = parseDirTree(bytes);
    } catch (error) {
      throw this.#named("dirtree", checksum, error);
    }
    return selectEntries(tree, part);
  }

  /** Fetches what is wanted, several objects at a time, until nothing more is. */
  async #workOff(): Promise<void> {
    const underWay = new Set<Promise<void>>();
    try {
      while (this.#stack.length > 0 || underWay.size > 0) {
        while (this.#stack.length > 0 && underWay.size < this.#source.metadataConcurrency) {
          const work = this.#fetchAndTake(this.#stack.pop()!).then(() => {
            underWay.delete(work);
          });
          underWay.add(work);
        }
        await Promise.race(underWay);
        // A source that answers at once would keep other threads from being given work.
        if (this.#fetched % TURN === 0) await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      // After a failure the others end on their own.
      for (const work of underWay) work.catch(() => undefined);
    }
  }

  async #fetchAndTake(wanted: Wanted): Promise<void> {
    const bytes = await this.#fetch(wanted);
    try {
      this.#take(wanted.type, wanted.checksum, bytes);
    } catch (error) {
      throw this.#named(wanted.type, wanted.checksum, error);
    }
  }

  async #fetch({ type, checksum }: Wanted): Promise<Uint8Array> {
    try {
      let bytes = await this.#read(type, checksum);
      let found = computeChecksum(bytes);
      if (found !== checksum && this.#source.files.kind === "remote") {
        // What spoilt it may have been on the way.
        this.#options.onWrong(invalidChecksum(type, checksum, found));
        bytes = await this.#read(type, checksum);
        found = computeChecksum(bytes);
      }
      if (found !== checksum) {
        throw new CfsError("Corrupt", invalidChecksum(type, checksum, found), {
          data: { expected: checksum, found },
        });
      }
      this.#fetched++;
      this.#options.onFetched?.(checksum, bytes);
      return bytes;
    } catch (error) {
      throw this.#named(type, checksum, error);
    }
  }

  async #read(type: MetadataType, checksum: Checksum): Promise<Uint8Array> {
    const bytes = await this.#source.readMetadata(type, checksum);
    this.#bytes += bytes.length;
    if (bytes.length > MAX_METADATA_SIZE || this.#bytes > MAX_TOTAL_SIZE)
      throw new CfsError("Unsupported", "it has more metadata than any real commit");
    return bytes;
  }

  #named(type: MetadataType, checksum: Checksum, error: unknown): CfsError {
    return withContext(`${this.#source.label}: ${type} ${checksum}`, error);
  }

  /** Adds an object and wants what it refers to. @param bytes verified. */
  #take(type: MetadataType, checksum: Checksum, bytes: Uint8Array): void {
    if (type === "dirmeta") parseDirMeta(bytes);
    this.#objects.add(checksum, bytes);
    if (type !== "dirtree") return;
    const { files, directories } = parseDirTree(bytes);
    for (const { file } of files) this.#want("file", file);
    for (const { tree, meta } of directories) {
      this.#want("dirmeta", meta);
      this.#want("dirtree", tree);
    }
  }

  #want(type: ObjectType, checksum: Checksum): void {
    const known = this.#types.get(checksum);
    if (known !== undefined) {
      if (known === type) return;
      throw new CfsError("Corrupt", `the object ${checksum} can't be a ${known} and a ${type}`);
    }
    for (const base of this.#options.bases) {
      if (base instanceof CommitTable) {
        if (this.#sharedWith(base).take(type, checksum)) return;
        continue;
      }
      const stored = findIntact(base, type, checksum);
      if (stored === undefined) continue;
      this.#types.set(checksum, type);
      if (type === "file") this.#objects.add(checksum, stored.data, stored.external);
      else this.#take(type, checksum, stored.data);
      return;
    }
    this.#types.set(checksum, type);
    if (type === "file") this.#options.onFile(checksum);
    else this.#stack.push({ type, checksum });
  }

  #sharedWith(table: CommitTable): SharedObjects {
    let shared = this.#shared.get(table);
    if (shared === undefined) {
      shared = new SharedObjects(table, (type, checksum) => this.#want(type, checksum));
      this.#shared.set(table, shared);
    }
    return shared;
  }

  /** What a base has, unless it is damaged. */
  #inBases(type: ObjectType, checksum: Checksum): StoredObject | undefined {
    const { bases } = this.#options;
    // Of a commit that is pulled in part, a directory may be asked for again as a whole.
    for (const base of type === "dirtree" ? [this.#objects, ...bases] : bases) {
      const found = findIntact(base, type, checksum);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

function findIntact(base: ObjectLookup, type: ObjectType, checksum: Checksum): StoredObject | undefined {
  const found = base.find(checksum);
  const isIntact = found !== undefined && (type === "file" || computeChecksum(found.data) === checksum);
  return isIntact ? found : undefined;
}

function invalidChecksum(type: MetadataType, expected: Checksum, found: Checksum): string {
  return `Invalid ${type} checksum ${found}, expected ${expected}`;
}
