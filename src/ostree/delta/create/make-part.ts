import { CfsError } from "../../../errors.ts";
import { fsync, O_CREAT, O_EXCL, O_WRONLY, openat, readSmallFile, writeAll } from "../../../sys/file.ts";
import { type Checksum, checksumBytes, computeChecksum } from "../../checksum.ts";
import { objectFile, openObject } from "../../local/open-file.ts";
import { MAX_METADATA_SIZE, OBJECT_TYPES, type ObjectType } from "../../objects.ts";
import { OBJECT_NAME_SIZE } from "../superblock.ts";
import { readArchived } from "./archived-file.ts";
import { PartBuilder } from "./part-builder.ts";
import { MAX_FILE_SIZE, type PlannedPart } from "./plan.ts";

/** A part to be made, and where to write it. */
export interface MakePartJob {
  readonly objectsFd: number;
  readonly part: PlannedPart;
  readonly directoryFd: number;
  readonly name: string;
}

/** A part that is written. */
export interface MadePart {
  readonly checksum: Checksum;
  readonly storedSize: number;
  readonly contentSize: number;
  /** The objects in it, as the superblock lists them. */
  readonly names: Uint8Array<ArrayBuffer>;
}

const FILE_MODE = 0o644;

/**
 * Makes a part of a delta, and writes it: the job of a worker thread.
 * @param tell how many bytes of content of files have been worked on, when it is done.
 */
export function makePart(
  { objectsFd, part, directoryFd, name }: MakePartJob,
  tell: (bytes: number) => void,
): MadePart {
  const builder = new PartBuilder();
  for (const { type, checksum } of part.metadata) {
    using file = openObject(objectsFd, objectFile(checksum, type));
    const bytes = readSmallFile(file, MAX_METADATA_SIZE);
    const found = computeChecksum(bytes);
    if (found !== checksum)
      throw new CfsError("Corrupt", `${file.path}: Invalid ${type} checksum ${found}, expected ${checksum}`);
    builder.addMetadata(bytes);
  }
  for (const { checksum, old } of part.files) {
    const { header, content } = readArchived(objectsFd, checksum, MAX_FILE_SIZE);
    const oldFile =
      old === undefined
        ? undefined
        : { checksum: old, content: readArchived(objectsFd, old, MAX_FILE_SIZE).content };
    builder.addFile(header, content, oldFile);
  }
  const bytes = builder.finish();
  using file = openat(directoryFd, name, O_CREAT | O_EXCL | O_WRONLY, FILE_MODE);
  writeAll(file.fd, bytes, file.path);
  fsync(file);
  tell(part.size);
  return {
    checksum: computeChecksum(bytes),
    storedSize: bytes.length,
    contentSize: builder.contentSize,
    names: objectNames([
      ...part.metadata,
      ...part.files.map(({ checksum }) => ({ type: "file" as const, checksum })),
    ]),
  };
}

function objectNames(
  objects: readonly { readonly type: ObjectType; readonly checksum: Checksum }[],
): Uint8Array<ArrayBuffer> {
  const names = new Uint8Array(objects.length * OBJECT_NAME_SIZE);
  for (const [i, { type, checksum }] of objects.entries()) {
    names[i * OBJECT_NAME_SIZE] = OBJECT_TYPES[type];
    names.set(checksumBytes(checksum), i * OBJECT_NAME_SIZE + 1);
  }
  return names;
}
