import { display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { openDirectory, readDirectory } from "../sys/dir.ts";
import { EINTR, ENOENT, ENOTDIR, errnoText, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { O_NOFOLLOW, O_NONBLOCK, O_RDONLY, tryOpenat } from "../sys/file.ts";
import { libc, orErrno } from "../sys/libc.ts";
import { measureVerity } from "../sys/verity.ts";
import { type Algorithm, type ObjectId, objectPath, parseObjectId } from "../verity/digest.ts";
import { BlockBuffer, VerityHasher } from "../verity/merkle.ts";
import { offerFastHash } from "./fast-hash.ts";
import type { Finding } from "./findings.ts";
import type { Repository } from "./repository.ts";

/** Result of checking one of the 256 directories of objects. */
export interface DirectoryCheck {
  readonly checked: number;
  /** One for each bad object. */
  readonly findings: Finding[];
}

/** Of what is in the place of a directory of objects. */
export const NOT_A_DIRECTORY = "not-a-directory";

/** 1 MiB; larger files are hashed piece by piece. */
const BUFFER_BLOCKS = 256;

/**
 * Compares objects with their names. Per object: open, measure (where the file system has fs-verity), read, hash,
 * close; one buffer serves all, and nothing is thrown for what is found.
 */
export class ObjectChecker {
  readonly #algorithm: Algorithm;
  readonly #secure: boolean;
  readonly #buffer: BlockBuffer;
  #kernelMeasures = true;

  constructor(algorithm: Algorithm, secure: boolean) {
    offerFastHash();
    this.#algorithm = algorithm;
    this.#secure = secure;
    this.#buffer = new BlockBuffer(BUFFER_BLOCKS, algorithm);
  }

  /**
   * Checks all objects in `objects/xx`.
   * @param objects the directory `objects/`.
   * @param xx two hexadecimal digits.
   * @throws SysError when `objects/xx` is there but can't be read
   */
  checkDirectory(objects: number, xx: string): DirectoryCheck {
    const findings: Finding[] = [];
    let checked = 0;
    let opened: Fd;
    try {
      opened = openDirectory(objects, xx, `objects/${xx}`);
    } catch (error) {
      if (isErrno(error, ENOENT)) return { checked, findings };
      if (!isErrno(error, ENOTDIR)) throw error;
      return { checked, findings: [{ kind: NOT_A_DIRECTORY, path: `objects/${xx}` }] };
    }
    using directory = opened;
    for (const { name } of readDirectory(directory)) {
      checked++;
      const finding = this.#check(directory.fd, xx, name);
      if (finding !== undefined) findings.push(finding);
    }
    return { checked, findings };
  }

  /** What is wrong with an object, or undefined. */
  #check(directory: number, xx: string, name: string): Finding | undefined {
    let id: ObjectId;
    try {
      id = parseObjectIdParts(xx, name, this.#algorithm);
    } catch (error) {
      const detail = (error as Error).message;
      return { kind: "object-invalid-name", path: `objects/${xx}/${name}`, detail };
    }
    const wrong = this.#compare(directory, name, id);
    if (wrong === undefined) return undefined;
    const [kind, detail] = wrong;
    return { kind, path: `objects/${objectPath(id)}`, detail, object: id };
  }

  #compare(directory: number, name: string, id: ObjectId): [kind: string, detail?: string] | undefined {
    const fd = tryOpenat(directory, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return ["object-open-failed", errnoText(-fd)];
    try {
      const measured = this.#measure(fd);
      if (measured === undefined && this.#secure) return ["object-verity-missing"];
      const found = measured ?? this.#hash(fd);
      if (found === id) return undefined;
      if (found === undefined) return ["object-verity-failed", "Computing verity digest in userspace"];
      return ["object-digest-mismatch", `measured ${found}`];
    } finally {
      libc.close(fd);
    }
  }

  #measure(fd: number): ObjectId | undefined {
    if (!this.#kernelMeasures) return undefined;
    try {
      const measured = measureVerity(fd, this.#algorithm);
      if (measured.state === "unsupported") this.#kernelMeasures = false;
      return measured.state === "measured" ? measured.id : undefined;
    } catch (error) {
      // An object that can't be measured counts as one without fs-verity.
      if (error instanceof CfsError) return undefined;
      throw error;
    }
  }

  /** The digest of a file's content, or undefined when it can't be read. */
  #hash(fd: number): ObjectId | undefined {
    const buffer = this.#buffer.bytes;
    let length = 0;
    let hasher: VerityHasher | undefined;
    for (;;) {
      const rest = length === 0 ? buffer : buffer.subarray(length);
      const n = orErrno(libc.read(fd, rest, rest.length));
      if (n === -EINTR) continue;
      if (n < 0) return undefined;
      if (n === 0) break;
      length += n;
      if (length < buffer.length) continue;
      hasher ??= new VerityHasher(this.#algorithm);
      hasher.update(buffer);
      length = 0;
    }
    if (hasher === undefined) return this.#buffer.digest(length);
    hasher.update(buffer.subarray(0, length));
    return hasher.digest();
  }

  /** The digest of an open file's content, from its present position on. */
  digest(fd: number): ObjectId | undefined {
    return this.#hash(fd);
  }
}

/** Whether an object is there and has the content that its name says. */
export function isIntactObject({ objects, algorithm, secure }: Repository, id: ObjectId): boolean {
  try {
    using file = objects.open(id);
    // Where every object has fs-verity, opening has measured it.
    return secure || new ObjectChecker(algorithm, secure).digest(file.fd) === id;
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

/**
 * Object id from the name of a directory and that of a file in it.
 * @throws CfsError Invalid; positions count from the beginning of the file's name
 */
export function parseObjectIdParts(xx: string, name: string, algorithm: Algorithm): ObjectId {
  if (name.length !== algorithm.size * 2 - 2) throw new CfsError("Invalid", "Invalid string length");
  const bad = name.search(/[^0-9a-fA-F]/);
  if (bad >= 0)
    throw new CfsError("Invalid", `Invalid character '${display(name[bad]!)}' at position ${bad}`);
  return parseObjectId(xx + name, algorithm);
}

/** The names of the 256 directories of objects. */
export const OBJECT_DIRECTORIES: readonly string[] = Array.from({ length: 256 }, (_, i) =>
  i.toString(16).padStart(2, "0"),
);
