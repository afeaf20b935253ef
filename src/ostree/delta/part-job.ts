import { withContext } from "../../errors.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import type { Checksum } from "../checksum.ts";
import { BaseFiles, type BaseHandle } from "./base-files.ts";
import { type PackedObjects, packObjects } from "./packed-objects.ts";
import { openPartContent, type StoredPart } from "./part-content.ts";
import { PartInterpreter } from "./part-interpreter.ts";
import type { DeltaObject } from "./superblock.ts";

/** A part to be verified and applied. */
export interface PartJob {
  readonly store: ObjectStoreHandle;
  readonly index: number;
  readonly checksum: Checksum;
  readonly contentSize: number;
  readonly objects: readonly DeltaObject[];
  readonly stored: StoredPart;
  /** The commit that the delta leads from. */
  readonly base: BaseHandle | undefined;
}

/** Applies a part: the job of a worker thread. The content of files is stored, everything else is in the result. */
export async function applyPart(job: PartJob): Promise<PackedObjects> {
  const store = new ObjectStore(job.store);
  try {
    using content = await openPartContent(job.stored, job, job.store.repositoryFd);
    using base = new BaseFiles(store, job.base);
    const interpreter = new PartInterpreter(content, job, base, store);
    return packObjects(interpreter.run(), job.store.algorithm);
  } catch (error) {
    throw withContext(`delta part ${job.index}`, error);
  } finally {
    store.close();
  }
}
