import { type ByteString, display, fromText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { DT_DIR, DT_LNK, DT_REG, listDirectory, openDirectory, readDirectory } from "../sys/dir.ts";
import { ENOENT, ENOTDIR, isErrno } from "../sys/errno.ts";
import { Fd } from "../sys/fd.ts";
import {
  check,
  O_DIRECTORY,
  O_RDONLY,
  openat,
  readlinkat,
  tryAccessat,
  tryOpenat,
  unlinkat,
} from "../sys/file.ts";
import { emptyStatus, tryFstatat } from "../sys/stat.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import type { DigestTable } from "../verity/digest-table.ts";
import { TEMPORARY_LINK_PREFIX } from "./links.ts";
import { findLiveObjects, type RootCheck, type RootCondition, type Unreadable } from "./live-objects.ts";
import { type Category, objectOfTarget, REFS } from "./names.ts";
import { OBJECT_DIRECTORIES, parseObjectIdParts } from "./object-check.ts";
import { TEMPORARY_OBJECT_PREFIX } from "./objects.ts";
import { PARTIAL_DIRECTORY } from "./partial-files.ts";
import { parseObjectName } from "./presence.ts";
import { MAX_ENTRIES, openCategory, openIfDirectory, removeRef } from "./refs.ts";
import { removeTree } from "./remove-tree.ts";
import type { Repository } from "./repository.ts";

export interface GcOptions {
  /** Entries of `streams/` or `images/` to keep although no ref points to them. */
  readonly roots?: readonly string[];
  /** Which refs are roots only under a condition; others, whose condition is not met, are removed. */
  readonly condition?: RootCondition;
  /** What is wrong with a stream that a ref leads to; undefined when nothing is known to be. */
  readonly checkRoot?: RootCheck;
  /** Find out what would be deleted, but delete nothing. */
  readonly dryRun?: boolean;
}

export interface GcReport {
  readonly objectsRemoved: number;
  /** Sum of the sizes of the removed files. */
  readonly bytesRemoved: number;
  /** Links below `images/` that led nowhere, also because what they led to was removed. */
  readonly imagesPruned: number;
  readonly streamsPruned: number;
  /** Left-overs of interrupted work: temporary objects and links, partial downloads. */
  readonly temporaryFilesRemoved: number;
  /** What does not belong in a repository and was left alone. */
  readonly strays: readonly string[];
  /** Those of the given roots that do not exist. */
  readonly unknownRoots: readonly string[];
  /** Everything that was removed, as paths below the repository. Made when it is asked for. */
  readonly removed: () => Iterable<string>;
}

/** The objects to delete in one directory. */
interface DeadObjects {
  /** Name of the directory below `objects/`. */
  readonly xx: string;
  /** Names of the files, which may be in upper case, unlike the ids. */
  readonly names: ByteString[];
  readonly ids: ObjectId[];
  /** Sum of the sizes of the files. */
  bytes: number;
}

/** How many unreadable roots an error names. */
const MAX_NAMED = 5;

/**
 * Deletes every object that no root keeps alive, then links that lead nowhere, then left-overs of interrupted work.
 * Nothing is deleted before everything that must stay is known.
 * @throws CfsError Corrupt, with nothing deleted, when a root can't be read
 */
export function collectGarbage(repository: Repository, options: GcOptions = {}): GcReport {
  if (options.dryRun) return run(repository, options);
  repository.ensureWritable();
  return repository.exclusively(() => run(repository, options));
}

function run(repository: Repository, options: GcOptions): GcReport {
  const { condition, checkRoot } = options;
  const live = findLiveObjects(repository, (options.roots ?? []).map(fromText), { condition, checkRoot });
  if (live.unreadable.length > 0) throw unreadableRoots(repository, live.unreadable);
  const strays = [...live.strays];

  using objects = openObjects(repository);
  const dead = objects === undefined ? [] : findDead(repository, objects, live.ids, strays);
  const remove = !options.dryRun;
  // Before what they point to: after an interruption, a ref that leads nowhere would be a root that can't be read.
  if (remove) for (const ref of live.lapsed) removeRef(repository, "streams", ref);
  if (remove && objects !== undefined) for (const group of dead) removeDead(objects, group);

  // What is only told to be removed is still there, and so are links to it.
  const gone = new Set(remove ? [] : dead.flatMap(({ ids }) => ids));
  const prune = (category: Category) => pruneCategory(repository, category, { gone, remove });
  const images = prune("images");
  // One whose condition is not met may lead nowhere as well.
  const streams = [...new Set([...live.lapsed.map((ref) => `streams/${REFS}/${ref}`), ...prune("streams")])];
  const temporary = removeTemporaryFiles(repository, objects, remove);
  return {
    objectsRemoved: dead.reduce((sum, { names }) => sum + names.length, 0),
    bytesRemoved: dead.reduce((sum, { bytes }) => sum + bytes, 0),
    imagesPruned: images.length,
    streamsPruned: streams.length,
    temporaryFilesRemoved: temporary.length,
    strays,
    unknownRoots: live.unknown.map((name) => display(name)),
    removed: function* () {
      for (const { xx, names } of dead) for (const name of names) yield `objects/${xx}/${name}`;
      for (const path of [...images, ...streams, ...temporary]) yield display(path);
    },
  };
}

function unreadableRoots(repository: Repository, unreadable: readonly Unreadable[]): CfsError {
  const named = unreadable.slice(0, MAX_NAMED).map(({ root, why }) => `${root} (${why})`);
  if (unreadable.length > MAX_NAMED) named.push(`${unreadable.length - MAX_NAMED} more`);
  return new CfsError(
    "Corrupt",
    `nothing was deleted, because it is not known what these keep alive: ${named.join(", ")}`,
    {
      hint: `pull or create them again, or give them up with \`rm ${repository.path}/${unreadable[0]!.root}\``,
    },
  );
}

function openObjects(repository: Repository): Fd | undefined {
  const fd = tryOpenat(repository.dir.fd, "objects", O_RDONLY | O_DIRECTORY);
  return fd === -ENOENT ? undefined : new Fd(check(fd, "openat", "objects"), "objects");
}

function findDead(repository: Repository, objects: Fd, live: DigestTable, strays: string[]): DeadObjects[] {
  const dead: DeadObjects[] = [];
  const status = emptyStatus();
  const digest = Buffer.alloc(repository.algorithm.size);
  for (const xx of OBJECT_DIRECTORIES) {
    let opened: Fd;
    try {
      opened = openDirectory(objects.fd, xx, `objects/${xx}`);
    } catch (error) {
      if (isErrno(error, ENOENT)) continue;
      if (!isErrno(error, ENOTDIR)) throw error;
      strays.push(`objects/${xx} is not a directory`);
      continue;
    }
    using directory = opened;
    const group: DeadObjects = { xx, names: [], ids: [], bytes: 0 };
    digest.hexWrite(xx);
    const isLive = (bytes: Uint8Array, start: number) =>
      parseObjectName(bytes, start, digest) && live.find(digest, 0) >= 0;
    for (const { name, type } of readDirectory(directory, { skip: isLive })) {
      let id: ObjectId;
      try {
        id = parseObjectIdParts(xx, name, repository.algorithm);
      } catch {
        strays.push(`objects/${xx}/${display(name)} is not the name of an object`);
        continue;
      }
      if (live.has(id)) continue;
      if (type === DT_DIR) {
        strays.push(`objects/${xx}/${name} is a directory`);
        continue;
      }
      const result = tryFstatat(directory.fd, name, status);
      if (result === -ENOENT) continue;
      check(result, "statx", `objects/${xx}/${name}`);
      group.names.push(name);
      group.ids.push(id);
      group.bytes += status.size;
    }
    if (group.names.length > 0) dead.push(group);
  }
  return dead;
}

function removeDead(objects: Fd, { xx, names }: DeadObjects): void {
  using directory = openDirectory(objects.fd, xx, `objects/${xx}`);
  for (const name of names) unlinkat(directory.fd, name);
}

interface PruneOptions {
  /** Objects that count as removed. */
  readonly gone: ReadonlySet<ObjectId>;
  /** Otherwise links are only counted. */
  readonly remove: boolean;
}

/**
 * Finds the links that lead nowhere, at the top first, so that refs to removed ones are found; removes them if asked.
 * @returns their paths below the repository.
 */
function pruneCategory(repository: Repository, category: Category, options: PruneOptions): ByteString[] {
  using directory = openCategory(repository, category);
  if (directory === undefined) return [];
  const { algorithm } = repository;
  const pruned = pruneLinks(directory, category, options, algorithm);
  using refs = openIfDirectory(directory, REFS);
  return refs === undefined
    ? pruned
    : [...pruned, ...pruneRefs(refs, `${category}/${REFS}`, options, algorithm)];
}

/** @param path of the directory below the repository. */
function pruneLinks(
  directory: Fd,
  path: ByteString,
  { gone, remove }: PruneOptions,
  algorithm: Algorithm,
): ByteString[] {
  const pruned: ByteString[] = [];
  for (const { name, type } of listDirectory(directory, MAX_ENTRIES)) {
    if (type !== DT_LNK) continue;
    const isBroken = tryAccessat(directory.fd, name, 0) === -ENOENT;
    if (!isBroken && !(gone.size > 0 && leadsTo(gone, directory, name, algorithm))) continue;
    if (remove) unlinkat(directory.fd, name);
    pruned.push(`${path}/${name}`);
  }
  return pruned;
}

/** Whether a link is one to an object, and to one of these. */
function leadsTo(
  objects: ReadonlySet<ObjectId>,
  directory: Fd,
  name: ByteString,
  algorithm: Algorithm,
): boolean {
  try {
    return objects.has(objectOfTarget(readlinkat(directory.fd, name) ?? "", algorithm));
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

function pruneRefs(
  directory: Fd,
  path: ByteString,
  options: PruneOptions,
  algorithm: Algorithm,
): ByteString[] {
  const pruned = pruneLinks(directory, path, options, algorithm);
  for (const { name, type } of listDirectory(directory, MAX_ENTRIES)) {
    if (type !== DT_DIR) continue;
    using sub = openIfDirectory(directory, name);
    if (sub !== undefined)
      for (const found of pruneRefs(sub, `${path}/${name}`, options, algorithm)) pruned.push(found);
  }
  return pruned;
}

/**
 * Nobody else has the repository open, so nobody is at work on any of these.
 * @param remove otherwise they are only looked for.
 * @returns their paths below the repository.
 */
function removeTemporaryFiles(
  repository: Repository,
  objects: Fd | undefined,
  remove: boolean,
): ByteString[] {
  const removed: ByteString[] = [];
  const removeMatching = (
    directory: Fd,
    prefix: string,
    isTemporary: (name: ByteString, type: number) => boolean,
  ) => {
    for (const { name, type } of listDirectory(directory, MAX_ENTRIES)) {
      if (isTemporary(name, type) && (!remove || unlinkat(directory.fd, name))) removed.push(prefix + name);
    }
  };
  if (objects !== undefined) {
    const isTemporary = (name: ByteString, type: number) =>
      type === DT_REG && name.startsWith(TEMPORARY_OBJECT_PREFIX);
    removeMatching(objects, "objects/", isTemporary);
  }
  using root = openat(repository.dir.fd, ".", O_RDONLY | O_DIRECTORY, 0, repository.path);
  removeMatching(root, "", (name, type) => type === DT_LNK && name.startsWith(TEMPORARY_LINK_PREFIX));
  using temporary = openIfDirectory(root, PARTIAL_DIRECTORY);
  if (temporary !== undefined) {
    for (const { name } of listDirectory(temporary, MAX_ENTRIES)) {
      if (remove) removeTree(temporary, name);
      removed.push(`${PARTIAL_DIRECTORY}/${name}`);
    }
  }
  return removed;
}
