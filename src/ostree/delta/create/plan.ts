import type { ByteString } from "../../../bytes.ts";
import type { Checksum } from "../../checksum.ts";
import { isSymlink } from "../../file-header.ts";
import type { MetadataType } from "../../objects.ts";
import type { FallbackObject } from "../superblock.ts";
import { statArchived } from "./archived-file.ts";
import type { Reachable } from "./reachable.ts";

/** Larger files are always fetched on their own. */
export const MAX_FILE_SIZE = 32 * 1024 * 1024;
/** A part is full when it has so much content. */
const PART_SIZE = 16 * 1024 * 1024;

export interface PlannedFile {
  readonly checksum: Checksum;
  /** A file of the old commit that it may be made of. */
  readonly old: Checksum | undefined;
}

/** What goes into a part. */
export interface PlannedPart {
  readonly metadata: { readonly type: MetadataType; readonly checksum: Checksum }[];
  readonly files: PlannedFile[];
  /** Bytes of content of the files. */
  size: number;
}

export interface Plan {
  readonly parts: readonly PlannedPart[];
  readonly fallbacks: readonly FallbackObject[];
}

/**
 * Decides which objects of the new commit go where.
 * @param objectsFd of the repository, which is of mode archive.
 * @param fallbackSize of content: from this on new files are fetched on their own, unless an old one is like them.
 */
export function planDelta(
  objectsFd: number,
  old: Reachable | undefined,
  young: Reachable,
  fallbackSize: number,
): Plan {
  const parts: PlannedPart[] = [];
  const fallbacks: FallbackObject[] = [];
  const metadata = [...young.metadata].flatMap(([checksum, type]) =>
    old?.metadata.has(checksum) ? [] : [{ type, checksum }],
  );
  let part: PlannedPart = { metadata, files: [], size: 0 };
  parts.push(part);
  const predecessors = new Predecessors(old);
  for (const [checksum, path] of young.files) {
    if (old?.files.has(checksum)) continue;
    const { header, size: contentSize, storedSize } = statArchived(objectsFd, checksum);
    const predecessor = isSymlink(header) ? undefined : predecessors.find(objectsFd, path, contentSize);
    if (contentSize > MAX_FILE_SIZE || (contentSize > fallbackSize && predecessor === undefined)) {
      fallbacks.push({ type: "file", checksum, storedSize, contentSize });
      continue;
    }
    if (part.size > 0 && part.size + contentSize > PART_SIZE) {
      part = { metadata: [], files: [], size: 0 };
      parts.push(part);
    }
    part.files.push({ checksum, old: predecessor });
    part.size += contentSize;
  }
  return { parts: parts.filter((p) => p.metadata.length + p.files.length > 0), fallbacks };
}

/** Finds the file of the old commit that a new one is probably made of. */
class Predecessors {
  readonly #old: Reachable | undefined;
  /** By file name; undefined where several have it. */
  readonly #byName = new Map<ByteString, Checksum | undefined>();

  constructor(old: Reachable | undefined) {
    this.#old = old;
    for (const [path, checksum] of old?.byPath ?? []) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      this.#byName.set(name, this.#byName.has(name) ? undefined : checksum);
    }
  }

  find(objectsFd: number, path: ByteString, size: number): Checksum | undefined {
    const found = this.#old?.byPath.get(path) ?? this.#byName.get(path.slice(path.lastIndexOf("/") + 1));
    if (found === undefined) return undefined;
    const old = statArchived(objectsFd, found);
    const isUseful =
      old.size > 0 && old.size <= MAX_FILE_SIZE && old.size < size * 16 && size < old.size * 16;
    return isUseful && !isSymlink(old.header) ? found : undefined;
  }
}
