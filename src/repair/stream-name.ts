import { type ByteString, display, toText } from "../bytes.ts";
import { CfsError, describeError } from "../errors.ts";
import { CONFIG_PREFIX, LAYER_PREFIX, MANIFEST_PREFIX } from "../oci/streams.ts";
import { readCommitTable } from "../ostree/commit-table.ts";
import { commitOfStreamName } from "../ostree/names.ts";
import { checkStreamContent, tellsContent } from "../repository/fsck-deep.ts";
import { linkTarget } from "../repository/links.ts";
import { objectTarget } from "../repository/names.ts";
import { isIntactObject } from "../repository/object-check.ts";
import { MAX_ENTRIES, openCategory } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { openStreamObject } from "../repository/streams.ts";
import { CONTENT_BLOB, CONTENT_CONFIG, CONTENT_LAYER, CONTENT_MANIFEST } from "../splitstream/format.ts";
import type { SplitstreamReader } from "../splitstream/reader.ts";
import { listDirectory } from "../sys/dir.ts";
import type { ObjectId } from "../verity/digest.ts";

/**
 * Whether an object is a stream that a name below `streams/` may have: one that can be rebuilt, to the content that the
 * name tells, if it does.
 * @returns what is wrong, or undefined.
 */
export function checkStreamName(repository: Repository, name: ByteString, id: ObjectId): string | undefined {
  return checkCommitName(repository, name, id) ?? checkStreamContent(repository, { name, id });
}

/**
 * For garbage collection: whether an entry of `streams/` that a ref leads to holds something else than its name says.
 * What it ought to hold would be collected.
 * @returns what is wrong; undefined also when it can't be told, because something of the content is lost.
 */
export function checkRoot(repository: Repository, name: ByteString, id: ObjectId): string | undefined {
  const wrong = checkCommitName(repository, name, id);
  if (wrong !== undefined || !tellsContent(name)) return wrong;
  const differs = checkStreamContent(repository, { name, id });
  if (differs === undefined) return undefined;
  using stream = openStreamObject(repository, id);
  const { reader } = stream;
  if (isComplete(repository, reader)) return differs;
  if (!mayHaveType(name, reader.contentType)) return "it holds another kind of content";
  const other = nameOfSame(repository, name, id);
  return other && `streams/${display(other)} holds the same, and the content is not all there`;
}

const TYPES: readonly (readonly [prefix: string, types: readonly string[]])[] = [
  [MANIFEST_PREFIX, [CONTENT_MANIFEST]],
  [CONFIG_PREFIX, [CONTENT_CONFIG]],
  // Those of artifacts are not split.
  [LAYER_PREFIX, [CONTENT_LAYER, CONTENT_BLOB]],
];

/** Whether a stream of this name may have this content type. */
function mayHaveType(name: ByteString, type: string): boolean {
  const types = TYPES.find(([prefix]) => name.startsWith(prefix))?.[1] ?? [CONTENT_BLOB];
  return types.includes(type);
}

/** Another entry that leads to the same object and tells another content: one of the two must be wrong. */
function nameOfSame(repository: Repository, name: ByteString, id: ObjectId): ByteString | undefined {
  using streams = openCategory(repository, "streams");
  if (streams === undefined) return undefined;
  const target = objectTarget(id);
  return listDirectory(streams, MAX_ENTRIES).find(
    (entry) =>
      entry.name !== name && tellsContent(entry.name) && linkTarget(streams.fd, entry.name) === target,
  )?.name;
}

/** Of the name of an ostree commit. */
function checkCommitName(repository: Repository, name: ByteString, id: ObjectId): string | undefined {
  const commit = commitOfStreamName(toText(name) ?? "");
  if (commit === undefined) return undefined;
  try {
    using stream = openStreamObject(repository, id);
    const found = readCommitTable(stream.reader).commit;
    return found === commit ? undefined : `it holds the commit ${found}`;
  } catch (error) {
    if (error instanceof CfsError) return describeError(error);
    throw error;
  }
}

/** Whether all that a stream is rebuilt from is there and intact. */
function isComplete(repository: Repository, { objectRefs }: SplitstreamReader): boolean {
  for (const object of objectRefs) if (!isIntactObject(repository, object)) return false;
  return true;
}
