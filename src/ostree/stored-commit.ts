import { fromText, toText } from "../bytes.ts";
import { writeImage } from "../erofs/writer.ts";
import { CfsError, withContext } from "../errors.ts";
import { linkImage } from "../repository/images.ts";
import { linkTarget } from "../repository/links.ts";
import { ObjectChecklist } from "../repository/presence.ts";
import { listRefs, writeRef } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { linkStream, lookUpStream, openStreamObject } from "../repository/streams.ts";
import type { Directory } from "../tree/model.ts";
import type { ObjectId } from "../verity/digest.ts";
import { fsVerityDigest } from "../verity/merkle.ts";
import type { Checksum } from "./checksum.ts";
import type { CommitStreamWriter } from "./commit-stream-writer.ts";
import { type CommitTable, IMAGE_REF, readCommitTable } from "./commit-table.ts";
import { commitOfStreamName, commitRefName, commitStreamName, nameOfCommitRef, REF_PREFIX } from "./names.ts";
import { buildCommitTree, type TreeOptions } from "./tree.ts";

/** A commit in the repository. */
export interface StoredCommit {
  readonly commit: Checksum;
  /** The object of its stream. */
  readonly stream: ObjectId;
  readonly table: CommitTable;
  /** The EROFS image that was made of it, as far as one is recorded. */
  readonly image: ObjectId | undefined;
}

/** A commit that was just brought in. */
export interface NewCommit extends StoredCommit {
  readonly image: ObjectId;
  /** What composefs-rs prints: the object of a stream without the reference to the image, which is not stored. */
  readonly firstStream: ObjectId;
  readonly hasXattrs: boolean;
}

export interface StoreCommitOptions extends TreeOptions {
  /** Name below `refs/ostree/`, to be written when all else is in place. */
  readonly ref?: string | undefined;
  /** What the image is made of, unless it is the tree of the commit. */
  readonly imageTree?: Directory | undefined;
}

/**
 * Makes the stream and the image of a commit, and links them when it is proven that nothing is missing: every ostree
 * object that the commit needs, and every object that these refer to.
 * @param objects verified; those of the commit and no others.
 */
export function storeCommit(
  repository: Repository,
  objects: CommitStreamWriter,
  commit: Checksum,
  { ref, imageTree, ...treeOptions }: StoreCommitOptions = {},
): NewCommit {
  if (ref !== undefined) commitRefName(ref);
  repository.ensureWritable();
  const { algorithm } = repository;
  const finished = objects.finish(commit);
  const { table } = finished;
  collectGarbage(table);
  const { root, hasXattrs, objectCount } = buildCommitTree(table, commit, treeOptions);
  collectGarbage(table);
  if (objectCount !== table.length) {
    throw new TypeError(
      `${table.length - objectCount} of ${table.length} objects are not part of the commit`,
    );
  }
  expectContent(repository, table);
  const bytes = writeImage(imageTree ?? root, repository.erofsVersion, algorithm);
  const image = repository.objects.storeVerified(bytes).id;
  const firstStream = fsVerityDigest(finished.withoutImage(), algorithm);
  const stream = repository.objects.storeVerified(finished.withImage(image)).id;
  linkImage(repository, image);
  linkStream(repository, commitStreamName(commit), stream);
  if (ref !== undefined) writeCommitRef(repository, ref, commit);
  return { commit, stream, table, image, firstStream, hasXattrs };
}

/** So many objects leave so much behind at each step that it shows; of fewer it does not. */
const MANY_OBJECTS = 25_000;

function collectGarbage({ length }: CommitTable): void {
  if (length > MANY_OBJECTS) Bun.gc(true);
}

/** The content of a file, which another commit has brought into the repository, is not there any more. */
export class MissingContent extends CfsError {
  constructor() {
    super("NotFound", "the content of a file has vanished from the repository", {
      hint: "pull the commit again",
    });
  }
}

/** @throws MissingContent */
function expectContent(repository: Repository, table: CommitTable): void {
  if (!hasContent(repository, table)) throw new MissingContent();
}

/** Whether the content of all files is in the repository. */
export function hasContent(repository: Repository, table: CommitTable): boolean {
  const checklist = new ObjectChecklist(repository);
  checklist.addAll(table.objects.bytes);
  return checklist.areAllPresent();
}

/** Points a name below `refs/ostree/` to a commit. */
export function writeCommitRef(repository: Repository, name: string, commit: Checksum): void {
  repository.ensureWritable();
  writeRef(repository, "streams", commitRefName(name), commitStreamName(commit));
}

/** The commit of a stream; undefined when there is none. @throws CfsError Corrupt, NotFound when it is damaged. */
export function openCommit(repository: Repository, commit: Checksum): StoredCommit | undefined {
  const stream = lookUpStream(repository, commitStreamName(commit));
  return stream === undefined ? undefined : readStoredCommit(repository, commit, stream);
}

/** The commit that a name below `refs/ostree/` points to. @throws CfsError NotFound */
export function openNamedCommit(repository: Repository, name: string): StoredCommit {
  const target = streamOfRef(repository, name);
  const commit = target === undefined ? undefined : commitOfStreamName(target);
  if (commit === undefined)
    throw new CfsError("NotFound", `there is no ostree ref '${name}'`, { hint: LIST_HINT });
  const stored = openCommit(repository, commit);
  if (stored !== undefined) return stored;
  throw new CfsError("NotFound", `ref '${name}' points to missing stream '${commitStreamName(commit)}'`, {
    hint: "pull it again",
  });
}

const LIST_HINT = "`cfsctl ostree images` lists the names";

/** Name of the stream that a name below `refs/ostree/` points to. */
export function streamOfRef(repository: Repository, name: string): string | undefined {
  const target = linkTarget(repository.dir.fd, `streams/refs/${fromText(commitRefName(name))}`);
  return target === undefined ? undefined : toText(target.slice(target.lastIndexOf("/") + 1));
}

function readStoredCommit(repository: Repository, commit: Checksum, stream: ObjectId): StoredCommit {
  try {
    using opened = openStreamObject(repository, stream);
    const { reader } = opened;
    const table = readCommitTable(reader);
    if (table.commit !== commit) {
      throw new CfsError("Corrupt", `it holds the commit ${table.commit}`, {
        hint: "remove the link and pull the commit again",
      });
    }
    return { commit, stream, table, image: reader.namedRefs.get(IMAGE_REF) };
  } catch (error) {
    throw withContext(`stream '${commitStreamName(commit)}'`, error);
  }
}

/** A name below `refs/ostree/` and the stream that it points to. */
export interface CommitRef {
  readonly name: string;
  /** Name of the stream; of a commit, as a rule. */
  readonly stream: string;
}

/** All names that are UTF-8, sorted. */
export function listCommitRefs(repository: Repository): CommitRef[] {
  return listRefs(repository, "streams").flatMap(({ name: path, target }) => {
    if (!path.startsWith(REF_PREFIX)) return [];
    const name = nameOfCommitRef(path.slice(REF_PREFIX.length));
    return name === undefined ? [] : [{ name, stream: target.slice(target.lastIndexOf("/") + 1) }];
  });
}
