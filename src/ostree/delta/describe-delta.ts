import { tmpdir } from "node:os";
import { withContext } from "../../errors.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../sys/file.ts";
import { countOperations, type OperationCounts } from "./count-operations.ts";
import { openPartContent, type StoredPart } from "./part-content.ts";
import type { Delta } from "./pull-delta.ts";
import type { DeltaPart } from "./superblock.ts";

/** What a part holds, beside what the superblock says of it. */
export interface PartDescription extends DeltaPart {
  readonly isCompressed: boolean;
  /** How many different owners with modes, and sets of extended attributes, its files have. */
  readonly modes: number;
  readonly xattrs: number;
  /** Bytes that operations refer to, and bytes of the operations. */
  readonly dataSize: number;
  readonly operationsSize: number;
  readonly operations: OperationCounts;
}

/** Reads and unpacks the parts of a delta, one after the other. @throws CfsError NotFound, Corrupt */
export async function describeParts({ superblock, readPart }: Delta): Promise<PartDescription[]> {
  using temporary = open(tmpdir(), O_RDONLY | O_DIRECTORY);
  const { signal } = new AbortController();
  const described: PartDescription[] = [];
  for (const [index, part] of superblock.parts.entries()) {
    try {
      described.push(await describePart(part, await readPart(index, signal), temporary.fd));
    } catch (error) {
      throw withContext(`delta part ${index}`, error);
    }
  }
  return described;
}

async function describePart(
  part: DeltaPart,
  stored: StoredPart,
  temporaryFd: number,
): Promise<PartDescription> {
  using content = await openPartContent(stored, part, temporaryFd);
  const { isCompressed, modes, xattrs, data, operations } = content;
  return {
    ...part,
    isCompressed,
    modes: modes.length,
    xattrs: xattrs.length,
    dataSize: data.size,
    operationsSize: operations.length,
    operations: countOperations(operations, part.objects),
  };
}
