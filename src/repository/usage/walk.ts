import { COMPOSEFS_MAGIC } from "../../erofs/format.ts";
import { METACOPY_SPAN, scanObjectDigests } from "../../erofs/scan.ts";
import { CfsError } from "../../errors.ts";
import { HEADER_SIZE, hasSplitstreamMagic } from "../../splitstream/format.ts";
import type { Fd } from "../../sys/fd.ts";
import { pread } from "../../sys/file.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { Repository } from "../repository.ts";
import { openStreamObject } from "../streams.ts";
import type { ObjectInventory } from "./inventory.ts";

export type ObjectKind = "image" | "stream" | "file";

/** Gets each object that is needed, possibly more than once; -1 stands for one that is missing. False: it is known. */
export type Visit = (object: number, kind: ObjectKind) => boolean;

/** Numbers of objects that are kept from one walk to the next, of each stream or image and of all: layers are shared. */
const MAX_REMEMBERED_OF_ONE = 200_000;
const MAX_REMEMBERED = 2_000_000;
/** Images are read in pieces of this size. */
const PIECE = 1 << 20;

/** Finds the objects that streams and images refer to, holding neither images nor tables of digests in memory. */
export class UsageWalker {
  readonly #repository: Repository;
  readonly #inventory: ObjectInventory;
  /** The objects that a stream or image refers to, by its own number. */
  readonly #remembered = new Map<number, Int32Array>();
  #rememberedCount = 0;

  constructor(repository: Repository, inventory: ObjectInventory) {
    this.#repository = repository;
    this.#inventory = inventory;
  }

  /**
   * Visits an object and all that it leads to: an image's objects, a stream's, and those of the streams below it. The
   * images that a stream names are visited, not read: what is in them is in the layers.
   * @throws CfsError when one of them can't be read
   */
  walk(first: ObjectId, visit: Visit): void {
    const pending = [first];
    let isFirst = true;
    for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
      const object = this.#inventory.findId(id);
      const kind = object < 0 ? "file" : this.#kindOf(id);
      const isKnown = !visit(object, kind);
      if (object < 0 && isFirst) throw new CfsError("NotFound", `the object ${id} is missing`);
      if (object >= 0 && !isKnown && kind === "stream") this.#stream(id, object, visit, pending);
      if (object >= 0 && !isKnown && kind === "image" && isFirst) this.#image(id, object, visit);
      isFirst = false;
    }
  }

  #stream(id: ObjectId, object: number, visit: Visit, pending: ObjectId[]): void {
    using stream = openStreamObject(this.#repository, id);
    const { reader } = stream;
    pending.push(...reader.namedRefs.values());
    this.#content(object, visit, (found) =>
      reader.visitObjectRefs((bytes, offset) => found(this.#inventory.find(bytes, offset))),
    );
  }

  #image(id: ObjectId, object: number, visit: Visit): void {
    using file = this.#repository.objects.open(id);
    this.#content(object, visit, (found) => this.#scan(file, found));
  }

  #scan(file: Fd, found: (object: number) => void): void {
    const { algorithm } = this.#repository;
    const overlap = METACOPY_SPAN + algorithm.size;
    const buffer = Buffer.alloc(PIECE);
    let kept = 0;
    for (let offset = 0; ; ) {
      const length = pread(file.fd, buffer.subarray(kept), offset, file.path);
      if (length === 0) return;
      offset += length;
      const end = kept + length;
      scanObjectDigests(buffer.subarray(0, end), algorithm, (bytes, at) =>
        found(this.#inventory.find(bytes, at)),
      );
      kept = Math.min(overlap, end);
      buffer.copyWithin(0, end - kept, end);
    }
  }

  #content(holder: number, visit: Visit, read: (found: (object: number) => void) => void): void {
    const remembered = this.#remembered.get(holder);
    if (remembered !== undefined) {
      for (const object of remembered) visit(object, "file");
      return;
    }
    const objects: number[] = [];
    const room = Math.min(MAX_REMEMBERED_OF_ONE, MAX_REMEMBERED - this.#rememberedCount);
    let isTooMuch = false;
    read((object) => {
      visit(object, "file");
      if (objects.length < room) objects.push(object);
      else isTooMuch = true;
    });
    if (isTooMuch) return;
    this.#remembered.set(holder, Int32Array.from(objects));
    this.#rememberedCount += objects.length;
  }

  #kindOf(id: ObjectId): ObjectKind {
    using file = this.#repository.objects.open(id);
    const head = Buffer.alloc(HEADER_SIZE);
    if (pread(file.fd, head, 0, file.path) < HEADER_SIZE) return "file";
    if (hasSplitstreamMagic(head)) return "stream";
    return head.readUInt32LE() === COMPOSEFS_MAGIC ? "image" : "file";
  }
}
