import { CfsError, kindOf } from "../../../errors.ts";
import { ObjectStore, type ObjectStoreHandle } from "../../../repository/objects.ts";
import type { Fd } from "../../../sys/fd.ts";
import { pread } from "../../../sys/file.ts";
import type { ObjectId } from "../../../verity/digest.ts";

const MAX_OPEN = 16;

/** Reads objects that are in one of several stores, and keeps those open that were used last. */
export class ObjectReader implements Disposable {
  readonly #stores: readonly ObjectStore[];
  readonly #open = new Map<ObjectId, Fd>();

  constructor(handles: readonly ObjectStoreHandle[]) {
    this.#stores = handles.map((handle) => new ObjectStore(handle));
  }

  /** Fills a buffer. @throws CfsError NotFound, Corrupt when the object ends before. */
  read(id: ObjectId, offset: number, buffer: Uint8Array<ArrayBufferLike>): void {
    const file = this.#file(id);
    if (pread(file.fd, buffer, offset, file.path) !== buffer.length)
      throw new CfsError("Corrupt", `${file.path} is shorter than it should be`, {
        hint: "find out with `cfsctl fsck` what is damaged, and pull the image again",
      });
  }

  #file(id: ObjectId): Fd {
    let file = this.#open.get(id);
    if (file !== undefined) this.#open.delete(id);
    else {
      if (this.#open.size === MAX_OPEN) {
        const [[oldest, unused]] = this.#open as unknown as [[ObjectId, Fd]];
        unused.close();
        this.#open.delete(oldest);
      }
      file = this.#find(id);
    }
    this.#open.set(id, file);
    return file;
  }

  #find(id: ObjectId): Fd {
    for (const [i, store] of this.#stores.entries()) {
      try {
        return store.open(id);
      } catch (error) {
        if (kindOf(error) !== "NotFound" || i === this.#stores.length - 1) throw error;
      }
    }
    throw new CfsError("NotFound", `object ${id} is missing`);
  }

  [Symbol.dispose](): void {
    for (const file of this.#open.values()) file.close();
    this.#open.clear();
    for (const store of this.#stores) store.close();
  }
}
