import { COMPOSEFS_MAGIC, type FormatVersion } from "../erofs/format.ts";
import { readImage } from "../erofs/reader.ts";
import { algorithmOfImage } from "../erofs/scan.ts";
import { CfsError, withContext } from "../errors.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../mode.ts";
import type { Progress } from "../progress.ts";
import type { Fd } from "../sys/fd.ts";
import { O_RDONLY, open, pread } from "../sys/file.ts";
import { fstat } from "../sys/stat.ts";
import { type DiffSide, recognizeOrigin } from "../tree/diff-reasons.ts";
import { DumpfileParser } from "../tree/dumpfile.ts";
import { algorithmOfLines } from "../tree/dumpfile-algorithm.ts";
import type { Directory } from "../tree/model.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { fsVerityDigest } from "../verity/merkle.ts";
import { directoryTree } from "./directory-tree.ts";
import { findImage } from "./image-name.ts";
import { readImageFile } from "./images.ts";
import type { Repository } from "./repository.ts";

/** Something that can be compared, found but not read yet. */
export interface Comparable {
  /** That of the digests in it; undefined for what can be hashed with any, or has none. */
  readonly algorithm: Algorithm | undefined;
  /** Reads it. @param algorithm its own one, where it has one. */
  load(algorithm: Algorithm): ComparedTree | Promise<ComparedTree>;
}

/** A tree to compare, with the image that it comes from. */
export interface ComparedTree extends DiffSide {
  readonly algorithm: Algorithm;
  /** undefined for a tree that no image was read for. */
  readonly image: ComparedImage | undefined;
}

export interface ComparedImage {
  readonly id: ObjectId;
  readonly version: FormatVersion;
  /** Reads it again, so that it need not be held in memory beside the tree. */
  read(): Uint8Array<ArrayBuffer>;
}

export interface LoadOptions {
  /** Threads that hash the files of a directory, this one included. */
  readonly jobs: number;
  readonly progress: Progress;
}

/** An EROFS image of the repository, by any of its names. @throws CfsError NotFound */
export function comparableImage(repository: Repository, name: string): Comparable {
  const { algorithm, objects } = repository;
  const id = findImage(repository, name);
  const read = () => {
    using file = objects.open(id);
    return readImageFile(file);
  };
  return { algorithm, load: () => imageSide(name, read, algorithm, id) };
}

/**
 * A path of the file system: a directory, as it is, or a file that holds an EROFS image or a dumpfile.
 * @throws CfsError Invalid for any other file
 */
export function comparablePath(path: string, { jobs, progress }: LoadOptions): Comparable {
  using file = open(path, O_RDONLY);
  const { mode } = fstat(file);
  if ((mode & S_IFMT) === S_IFDIR) {
    return {
      algorithm: undefined,
      load: async (algorithm) => {
        const root = await directoryTree(path, { algorithm, xattrs: undefined, jobs, progress });
        return { root, origin: "directory", algorithm, image: undefined };
      },
    };
  }
  const head = new Uint8Array(4);
  if ((mode & S_IFMT) === S_IFREG && pread(file.fd, head, 0, path) > 0) {
    if (Buffer.from(head.buffer).readUInt32LE() === COMPOSEFS_MAGIC) return imageFile(path, file);
    if (head[0] === SLASH) return dumpfile(path, file);
  }
  throw new CfsError("Invalid", `${path} is neither a directory nor an EROFS image nor a dumpfile`, {
    hint: "composefs-dump(5) describes dumpfiles; their first line begins with '/'",
  });
}

const SLASH = 0x2f;

function imageFile(path: string, file: Fd): Comparable {
  const algorithm = algorithmOfImage(readImageFile(file));
  const read = () => {
    using again = open(path, O_RDONLY);
    return readImageFile(again);
  };
  return { algorithm, load: (chosen) => imageSide(path, read, chosen) };
}

function imageSide(
  name: string,
  read: () => Uint8Array<ArrayBuffer>,
  algorithm: Algorithm,
  known?: ObjectId,
): ComparedTree {
  try {
    const bytes = read();
    const { root, version } = readImage(bytes, algorithm);
    const id = known ?? fsVerityDigest(bytes, algorithm);
    const image = { id, version, read };
    return { root, ...recognizeOrigin(root), algorithm, image, ...(version === 2 && { wholeSeconds: true }) };
  } catch (error) {
    throw withContext(`image '${name}'`, error);
  }
}

function dumpfile(path: string, file: Fd): Comparable {
  const algorithm = algorithmOfLines(lines(pieces(file)));
  return {
    algorithm,
    load(chosen) {
      using again = open(path, O_RDONLY);
      try {
        const root = parse(again, chosen);
        return { root, ...recognizeOrigin(root), algorithm: chosen, image: undefined };
      } catch (error) {
        throw withContext(path, error);
      }
    },
  };
}

function parse(file: Fd, algorithm: Algorithm): Directory {
  const parser = new DumpfileParser(algorithm);
  for (const piece of pieces(file)) parser.push(piece);
  return parser.finish();
}

const PIECE_SIZE = 1 << 20;

/** The content of a file; each piece is valid until the next one is asked for. */
function* pieces(file: Fd): Generator<Uint8Array> {
  const buffer = new Uint8Array(PIECE_SIZE);
  for (let offset = 0; ; ) {
    const length = pread(file.fd, buffer, offset, file.path);
    if (length === 0) return;
    offset += length;
    yield buffer.subarray(0, length);
  }
}

function* lines(all: Iterable<Uint8Array>): Generator<string> {
  let rest = "";
  for (const piece of all) {
    const found = (rest + Buffer.from(piece).latin1Slice()).split("\n");
    rest = found.pop()!;
    yield* found;
  }
  yield rest;
}
