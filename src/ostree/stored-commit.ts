import { fromText, toText } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { linkImage, storeImage } from "../repository/images.ts";
import { linkTarget } from "../repository/links.ts";
import { ObjectChecklist } from "../repository/presence.ts";
import { listRefs, openCategory, writeRef } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { linkStream, lookUpStream, openStreamObject } from "../repository/streams.ts";
import { unlinkat } from "../sys/file.ts";
import type { Directory } from "../tree/model.ts";
import type { ObjectId } from "../verity/digest.ts";
import { fsVerityDigest } from "../verity/merkle.ts";
import type { Checksum } from "./checksum.ts";
import type { CommitStreamWriter } from "./commit-stream-writer.ts";
import { type CommitTable, IMAGE_REF, readCommitTable, SUBPATH_REF } from "./commit-table.ts";
import {
  commitOfStreamName,
  commitRefName,
  commitStreamName,
  isPartialStreamName,
  nameOfCommitRef,
  partialStreamName,
  REF_PREFIX,
} from "./names.ts";
import { Subpaths } from "./subpaths.ts";
import { buildCommitTree, type TreeOptions } from "./tree.ts";

/** A commit in the repository. */
export interface StoredCommit {
  readonly commit: Checksum;
  /** The object of its stream. */
  readonly stream: ObjectId;
  readonly table: CommitTable;
  /** The EROFS image that was made of it, as far as one is recorded. */
  readonly image: ObjectId | undefined;
  /** What there is of it; undefined when it is complete. */
  readonly subpaths: Subpaths | undefined;
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
 * object that the commit needs, or the part of it that is asked for, and every object that these refer to.
 * @param objects verified; those of the commit, or of its part, and no others.
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
  const image = storeImage(repository, imageTree ?? root);
  const firstStream = fsVerityDigest(finished.withoutImage(), algorithm);
  const { subpaths } = treeOptions;
  const stream = repository.objects.storeVerified(finished.withImage(image, subpaths?.paths)).id;
  linkImage(repository, image);
  if (subpaths === undefined) {
    linkStream(repository, commitStreamName(commit), stream);
    replacePartial(repository, commit);
  } else linkStream(repository, partialStreamName(commit), stream);
  if (ref !== undefined) writeCommitRef(repository, ref, commit);
  return { commit, stream, table, image, firstStream, hasXattrs, subpaths };
}

/** What was a part of a commit gives way to all of it. */
function replacePartial(repository: Repository, commit: Checksum): void {
  const partial = partialStreamName(commit);
  if (!hasStream(repository, partial)) return;
  for (const { name, stream } of listCommitRefs(repository))
    if (stream === partial) writeRef(repository, "streams", commitRefName(name), commitStreamName(commit));
  using streams = openCategory(repository, "streams");
  if (streams !== undefined) unlinkat(streams.fd, partial);
}

/** Whether there is a stream of all of a commit, be it damaged. */
export function isCompleteLinked(repository: Repository, commit: Checksum): boolean {
  return hasStream(repository, commitStreamName(commit));
}

function hasStream(repository: Repository, name: string): boolean {
  return linkTarget(repository.dir.fd, `streams/${name}`) !== undefined;
}

/** So many objects leave so much behind at each step that it shows; of fewer it does not. */
const MANY_OBJECTS = 25_000;

/** To be called between two steps that each work on all objects of a commit. */
export function collectGarbage({ length }: CommitTable): void {
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

/** Points a name below `refs/ostree/` to a commit, or to what there is of it. */
export function writeCommitRef(repository: Repository, name: string, commit: Checksum): void {
  repository.ensureWritable();
  const partial = partialStreamName(commit);
  const isPartial = !isCompleteLinked(repository, commit) && hasStream(repository, partial);
  writeRef(repository, "streams", commitRefName(name), isPartial ? partial : commitStreamName(commit));
}

/** A commit that is complete; undefined when there is none. @throws CfsError Corrupt, NotFound when it is damaged. */
export function openCompleteCommit(repository: Repository, commit: Checksum): StoredCommit | undefined {
  return openStreamOf(repository, commit, commitStreamName(commit));
}

/** What there is of a commit that is not complete; undefined when there is nothing. @throws CfsError as above */
export function openPartialCommit(repository: Repository, commit: Checksum): StoredCommit | undefined {
  return openStreamOf(repository, commit, partialStreamName(commit));
}

/** A commit, or what there is of it; undefined when there is nothing. @throws CfsError as above */
export function openCommit(repository: Repository, commit: Checksum): StoredCommit | undefined {
  return openCompleteCommit(repository, commit) ?? openPartialCommit(repository, commit);
}

function openStreamOf(repository: Repository, commit: Checksum, name: string): StoredCommit | undefined {
  const stream = lookUpStream(repository, name);
  return stream === undefined ? undefined : readStoredCommit(repository, commit, stream, name);
}

/** The commit that a name below `refs/ostree/` points to. @throws CfsError NotFound */
export function openNamedCommit(repository: Repository, name: string): StoredCommit {
  const commit = commitOfRef(repository, name);
  if (commit === undefined)
    throw new CfsError("NotFound", `there is no ostree ref '${name}'`, { hint: LIST_HINT });
  const stored = openCommit(repository, commit);
  if (stored !== undefined) return stored;
  throw new CfsError("NotFound", `ref '${name}' points to missing stream '${commitStreamName(commit)}'`, {
    hint: "pull it again",
  });
}

/** The commit that a name below `refs/ostree/` points to, whether it is there or not. */
export function commitOfRef(repository: Repository, name: string): Checksum | undefined {
  const target = streamOfRef(repository, name);
  return target === undefined ? undefined : commitOfStreamName(target);
}

const LIST_HINT = "`cfsctl ostree images` lists the names";

/** Name of the stream that a name below `refs/ostree/` points to. */
export function streamOfRef(repository: Repository, name: string): string | undefined {
  const target = linkTarget(repository.dir.fd, `streams/refs/${fromText(commitRefName(name))}`);
  return target === undefined ? undefined : toText(target.slice(target.lastIndexOf("/") + 1));
}

function readStoredCommit(
  repository: Repository,
  commit: Checksum,
  stream: ObjectId,
  name: string,
): StoredCommit {
  try {
    using opened = openStreamObject(repository, stream);
    const { reader } = opened;
    const table = readCommitTable(reader);
    if (table.commit !== commit) {
      throw new CfsError("Corrupt", `it holds the commit ${table.commit}`, {
        hint: "remove the link and pull the commit again",
      });
    }
    const paths = [...reader.namedRefs.keys()].flatMap((ref) =>
      ref.startsWith(SUBPATH_REF) ? [ref.slice(SUBPATH_REF.length)] : [],
    );
    const subpaths = Subpaths.parse(paths);
    if ((subpaths !== undefined) !== isPartialStreamName(name))
      throw new CfsError("Corrupt", "it does not say which paths of the commit it has", {
        hint: "remove the link and pull the commit again",
      });
    return { commit, stream, table, image: reader.namedRefs.get(IMAGE_REF), subpaths };
  } catch (error) {
    throw withContext(`stream '${name}'`, error);
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
