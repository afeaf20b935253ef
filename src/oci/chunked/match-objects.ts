import { CfsError } from "../../errors.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../repository/objects.ts";
import { pread } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";

/** A file that is wanted, and objects of its size that may have its content. */
export interface MatchTask {
  /** sha256, as `sha256:HEX`. */
  readonly digest: string;
  readonly candidates: readonly ObjectId[];
}

export interface MatchRequest {
  readonly store: ObjectStoreHandle;
  readonly tasks: readonly MatchTask[];
}

const READ_STEP = 1024 * 1024;

/** Reads candidates until one has the wanted content. @returns for each task its object, if any. */
export function matchObjects({ store: handle, tasks }: MatchRequest): (ObjectId | undefined)[] {
  const store = new ObjectStore(handle);
  const buffer = new Uint8Array(READ_STEP);
  try {
    return tasks.map(({ digest, candidates }) =>
      candidates.find((candidate) => hashObject(store, candidate, buffer) === digest),
    );
  } finally {
    store.close();
  }
}

/** Undefined for what can't be read: it is fetched then. */
function hashObject(store: ObjectStore, id: ObjectId, buffer: Uint8Array<ArrayBuffer>): string | undefined {
  try {
    using file = store.open(id);
    const hash = new Bun.CryptoHasher("sha256");
    for (let at = 0; ; ) {
      const length = pread(file.fd, buffer, at, file.path);
      hash.update(buffer.subarray(0, length));
      at += length;
      if (length < buffer.length) return `sha256:${hash.digest("hex")}`;
    }
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}
