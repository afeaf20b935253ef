import { type ByteString, bytesOf, display } from "../../bytes.ts";
import { FileFinder } from "../../erofs/find.ts";
import { CfsError } from "../../errors.ts";
import type { ObjectStore } from "../../repository/objects.ts";
import type { Fd } from "../../sys/fd.ts";
import { pread } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";

/** A file of the source image, read by position. */
export interface SourceFile {
  /** For messages. */
  readonly name: string;
  /** The object that it is; undefined for one that the image itself holds. */
  readonly id: ObjectId | undefined;
  /** Bytes. */
  readonly size: number;
  /** Fills `target` with what begins at `position`. @throws CfsError Corrupt when the file has not so much */
  read(target: Uint8Array<ArrayBufferLike>, position: number): void;
}

/** The files of the source image of a delta; one is open at a time. */
export class SourceFiles {
  readonly #finder: FileFinder;
  readonly #store: ObjectStore;
  #object: { readonly id: ObjectId; readonly file: Fd } | undefined;

  /** @param image an EROFS image of it; may be shared memory. */
  constructor(image: Uint8Array<ArrayBufferLike>, store: ObjectStore) {
    this.#finder = new FileFinder(image, store.algorithm);
    this.#store = store;
  }

  /** The one that was opened before can't be read any more. @throws CfsError NotFound, Invalid, Corrupt */
  open(path: ByteString): SourceFile {
    const name = display(path);
    const found = this.#finder.find(path);
    if (found.type === "inline") {
      const data = bytesOf(found.data);
      return {
        name,
        id: undefined,
        size: data.length,
        read(target, position) {
          checkRange(this, target.length, position);
          target.set(data.subarray(position, position + target.length));
        },
      };
    }
    const { id, size } = found;
    if (this.#object?.id !== id) {
      this.close();
      this.#object = { id, file: this.#store.open(id) };
    }
    const { file } = this.#object;
    return {
      name,
      id,
      size,
      read(target, position) {
        checkRange(this, target.length, position);
        if (pread(file.fd, target, position, file.path) !== target.length)
          throw new CfsError("Corrupt", `${file.path} is too short`, {
            hint: "run `cfsctl fsck` to find what is damaged",
          });
      },
    };
  }

  close(): void {
    this.#object?.file.close();
    this.#object = undefined;
  }
}

/** @throws CfsError Corrupt when the file has not so much */
export function checkRange({ name, size }: SourceFile, length: number, position: number): void {
  if (position + length <= size || length === 0) return;
  throw new CfsError(
    "Corrupt",
    `${length} bytes at ${position} of the source image's file ${name} are asked for, which has ${size}`,
  );
}
