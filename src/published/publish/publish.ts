import { CfsError } from "../../errors.ts";
import type { Progress } from "../../progress.ts";
import { silentProgress } from "../../progress.ts";
import type { Repository } from "../../repository/repository.ts";
import { AmountTask } from "../amount-task.ts";
import type { PublishedIndex } from "../index-format.ts";
import type { ObjectSizes } from "../object-sizes.ts";
import { selectRefs } from "./selection.ts";
import type { ObjectAmount, PublishTarget } from "./target.ts";

export interface PublishOptions {
  /** Refs and directories of refs; all refs when there are none. */
  readonly names?: readonly string[];
  /** Remove what these refs don't need. */
  readonly prune?: boolean;
  readonly progress?: Progress;
}

export interface PublishReport {
  /** Refs that were published, as paths below the repository, sorted. */
  readonly refs: readonly string[];
  readonly copied: ObjectAmount;
  /** Objects that were there before. */
  readonly present: number;
  /** Undefined when nothing was to be removed. */
  readonly pruned: ObjectAmount | undefined;
}

/**
 * Brings refs of a repository, and all that they need, to a place from which they can be fetched. Objects come first,
 * then what refers to them, and the index last, so that readers never find something whose content is missing.
 * @throws CfsError
 */
export async function publish(
  repository: Repository,
  target: PublishTarget,
  { names = [], prune = false, progress = silentProgress }: PublishOptions = {},
): Promise<PublishReport> {
  const selection = selectRefs(repository, names);
  const published = await target.open(repository);
  if (published.algorithm !== repository.algorithm)
    throw new CfsError(
      "Exists",
      `what is published there has objects of ${published.algorithm.id}, but the repository of ${repository.algorithm.id}`,
      { hint: "publish it elsewhere" },
    );
  const { objects } = selection;
  const missing = await target.missing(objects);
  const copied: ObjectAmount = { objects: missing.length, bytes: bytesOf(missing) };
  if (missing.length > 0) {
    using task = new AmountTask(progress, "objects", `${missing.length} objects`, copied.bytes);
    await target.copyObjects(repository, missing, (bytes) => task.add(bytes));
  }
  const index = prune ? selection.index : merged(published, selection.index);
  await target.link(repository, index);
  await target.writeIndex(index);
  return {
    refs: refsOf(selection.index),
    copied,
    present: objects.length - missing.length,
    pruned: prune ? await target.prune(index, objects) : undefined,
  };
}

function bytesOf(objects: ObjectSizes): number {
  let bytes = 0;
  for (const [, { exact }] of objects) bytes += exact ?? 0;
  return bytes;
}

function merged(before: PublishedIndex, added: PublishedIndex): PublishedIndex {
  return {
    algorithm: added.algorithm,
    streams: new Map([...before.streams, ...added.streams]),
    images: new Map([...before.images, ...added.images]),
    streamRefs: new Map([...before.streamRefs, ...added.streamRefs]),
    imageRefs: new Map([...before.imageRefs, ...added.imageRefs]),
  };
}

function refsOf({ streamRefs, imageRefs }: PublishedIndex): string[] {
  return [
    ...[...streamRefs.keys()].map((name) => `streams/refs/${name}`),
    ...[...imageRefs.keys()].map((name) => `images/refs/${name}`),
  ].sort();
}
