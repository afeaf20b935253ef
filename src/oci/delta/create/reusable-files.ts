import { type ByteString, toText } from "../../../bytes.ts";
import type { Directory } from "../../../tree/model.ts";
import { sortedEntries } from "../../../tree/walk.ts";
import type { ObjectId } from "../../../verity/digest.ts";
import { MAX_NAME } from "../format.ts";

/** Content of the source image that layers of the target can be made of. */
export interface ReusableFile {
  readonly id: ObjectId;
  /** Bytes. */
  readonly size: number;
  /** Where it is in the image: UTF-8, without the leading slash. */
  readonly path: ByteString;
}

/** Objects of ostree repositories in images: deployed files have names by which they are found everywhere. */
const UNWANTED_PREFIX = "sysroot/ostree/";
const MAX_DEPTH = 2048;

/** The files of the source image by what is asked of them. */
export class ReusableFiles {
  readonly files: ReusableFile[] = [];
  readonly #byId = new Map<ObjectId, number>();
  /** Numbers by path, of all paths that a file has. */
  readonly #byPath = new Map<ByteString, number>();
  readonly #byName = new Map<ByteString, number[]>();
  readonly #byStem = new Map<ByteString, number[]>();

  /**
   * @param root as an image of it is made: what is not in there can't be found when the delta is applied. Files that
   * are kept in images themselves, and sparse ones, are left out.
   */
  constructor(root: Directory) {
    this.#collect(root, "", 0);
    for (const [path, number] of this.#byPath) {
      const name = nameOf(path);
      add(this.#byName, name, number);
      add(this.#byStem, stemOf(name), number);
    }
  }

  /**
   * Finds the file with a content, under the name that it would have, if it has that.
   * @param path as in the layer.
   */
  findSame(id: ObjectId, path: ByteString): ReusableFile | undefined {
    const number = this.#byId.get(id);
    if (number === undefined) return undefined;
    const file = this.files[number]!;
    const wanted = cleaned(path);
    return this.#byPath.get(wanted) === number ? { ...file, path: wanted } : file;
  }

  /** Number of the file that is probably most like one at a path of a layer; undefined when none has such a name. */
  findSimilar(path: ByteString, size: number): number | undefined {
    const wanted = cleaned(path);
    const same = this.#byPath.get(wanted);
    if (same !== undefined && isOfSimilarSize(this.files[same]!.size, size)) return same;
    const name = nameOf(wanted);
    return this.#closest(this.#byName.get(name), size) ?? this.#closest(this.#byStem.get(stemOf(name)), size);
  }

  #closest(numbers: readonly number[] | undefined, size: number): number | undefined {
    let best: number | undefined;
    let distance = Number.POSITIVE_INFINITY;
    for (const number of numbers ?? []) {
      const found = this.files[number]!.size;
      if (isOfSimilarSize(found, size) && Math.abs(found - size) < distance) {
        distance = Math.abs(found - size);
        best = number;
      }
    }
    return best;
  }

  #collect(directory: Directory, prefix: ByteString, depth: number): void {
    if (depth > MAX_DEPTH) return;
    for (const [name, node] of sortedEntries(directory)) {
      const path = prefix + name;
      if (node.kind === "directory") this.#collect(node, `${path}/`, depth + 1);
      else if (node.content.type === "external" && isUsable(path)) {
        this.#add({ id: node.content.id, size: Number(node.content.size), path });
      }
    }
  }

  #add(file: ReusableFile): void {
    const known = this.#byId.get(file.id);
    if (known === undefined) {
      this.#byId.set(file.id, this.files.length);
      this.#byPath.set(file.path, this.files.length);
      this.files.push(file);
      return;
    }
    this.#byPath.set(file.path, known);
    if (this.files[known]!.path.startsWith(UNWANTED_PREFIX)) this.files[known] = file;
  }
}

function isUsable(path: ByteString): boolean {
  return path.length <= MAX_NAME && toText(path) !== undefined;
}

/** Up to 64 KiB, or neither ten times as large as the other. */
function isOfSimilarSize(a: number, b: number): boolean {
  return (a < 64 * 1024 && b < 64 * 1024) || (a < 10 * b && b < 10 * a);
}

/** A path of a layer as that of a file in the image. */
function cleaned(path: ByteString): ByteString {
  return path
    .split("/")
    .filter((component) => component !== "" && component !== ".")
    .join("/");
}

function nameOf(path: ByteString): ByteString {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** A name without what changes with versions: numbers, and what comes behind the last letter before them. */
function stemOf(name: ByteString): ByteString {
  return name.replace(/[0-9]+([.~+-]?[0-9]+)*/g, "#");
}

function add(map: Map<ByteString, number[]>, key: ByteString, number: number): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [number]);
  else if (known.at(-1) !== number) known.push(number);
}
