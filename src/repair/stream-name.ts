import { type ByteString, toText } from "../bytes.ts";
import { CfsError, describeError } from "../errors.ts";
import { readCommitTable } from "../ostree/commit-table.ts";
import { commitOfStreamName } from "../ostree/names.ts";
import { checkStreamContent, tellsContent } from "../repository/fsck-deep.ts";
import { isIntactObject } from "../repository/object-check.ts";
import type { Repository } from "../repository/repository.ts";
import { openStreamObject } from "../repository/streams.ts";
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
  return differs !== undefined && isComplete(repository, id) ? differs : undefined;
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
function isComplete(repository: Repository, id: ObjectId): boolean {
  using stream = openStreamObject(repository, id);
  for (const object of stream.reader.objectRefs) if (!isIntactObject(repository, object)) return false;
  return true;
}
