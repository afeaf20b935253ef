import { bytesOf, display } from "../../bytes.ts";
import { RawDeflater } from "../../compress/deflate-raw.ts";
import { CfsError } from "../../errors.ts";
import type { ObjectStore } from "../../repository/objects.ts";
import { cloneFile } from "../../sys/clone.ts";
import { EOPNOTSUPP, EPERM, isErrno } from "../../sys/errno.ts";
import type { Fd } from "../../sys/fd.ts";
import { pread, writeAll } from "../../sys/file.ts";
import { setMode, setOwner, setTime, setXattr, type Target } from "../../sys/set-status.ts";
import { fstat } from "../../sys/stat.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { Checksum } from "../checksum.ts";
import type { StoredObject } from "../commit-table.ts";
import {
  archiveHeaderLength,
  FileHasher,
  type FileHeader,
  isSymlink,
  parseArchiveHeader,
} from "../file-header.ts";
import { objectFile } from "../local/open-file.ts";
import { encodeDirMeta, type MetadataType } from "../objects.ts";
import { type NewFile, ObjectPlaces } from "./object-file.ts";
import type { ExportMode } from "./target.ts";

/** ostree's own attribute in repositories of mode bare-user, which holds what the file's inode can't. */
const OSTREE_META = "user.ostreemeta";
const OBJECT_MODE = 0o644;
/** The permission bits of files in bare-user, and all that files may have in bare-user-only. */
const USER_BITS = 0o775;
const OWNER_READ = 0o400;
const SYMLINK_BITS = 0o777;
/** To chown(2) it means no user at all. */
const NO_ID = 0xffffffff;
const PIECE = 1024 * 1024;

/** Where objects are written to. */
export interface ObjectTarget {
  readonly mode: ExportMode;
  readonly objectsFd: number;
  readonly tmpFd: number;
}

/** A file object, apart from its content. */
interface FileObject {
  readonly checksum: Checksum;
  readonly header: FileHeader;
  /** Bytes of the content. */
  readonly size: number;
  /** The header in the form of archives, with its prefix. */
  readonly prefixed: Uint8Array;
  readonly content: Uint8Array | ObjectId;
}

/** Writes objects into an ostree repository. Each is checked against its checksum before it gets its place. */
export class ObjectWriter {
  readonly #mode: ExportMode;
  readonly #store: ObjectStore;
  readonly #places: ObjectPlaces;
  readonly #deflater: RawDeflater | undefined;
  readonly #piece = new Uint8Array(PIECE);
  #canClone = true;

  constructor({ mode, objectsFd, tmpFd }: ObjectTarget, store: ObjectStore) {
    this.#mode = mode;
    this.#store = store;
    this.#places = new ObjectPlaces(objectsFd, tmpFd);
    this.#deflater = mode === "archive" ? new RawDeflater() : undefined;
  }

  /**
   * @param bytes verified.
   * @returns false when it is there already.
   */
  writeMetadata(type: MetadataType, checksum: Checksum, bytes: Uint8Array): boolean {
    const path = objectFile(checksum, type);
    if (this.#places.find(path)?.size === bytes.length) return false;
    this.#write(path, (file) => {
      writeAll(file.fd, bytes, path);
      setMode(file.fd, OBJECT_MODE, path);
      if (this.#mode !== "archive") setTime(file, 0, path);
    });
    return true;
  }

  /**
   * A file as the commit's stream has it.
   * @param onBytes hears of bytes of content that are done.
   * @returns false when it is there already.
   * @throws CfsError Corrupt when it is not what its checksum says; Unsupported when a repository of this mode can't
   *   hold it
   */
  writeFile(checksum: Checksum, { data, external }: StoredObject, onBytes: (bytes: number) => void): boolean {
    const length = archiveHeaderLength(data);
    const prefixed = data.subarray(0, length);
    const { header, size } = parseArchiveHeader(prefixed);
    const object = { checksum, header, size, prefixed, content: external ?? data.subarray(length) };
    const path = objectFile(checksum, this.#mode === "archive" ? "filez" : "file");
    this.#expectRepresentable(header);
    if (this.#isPresent(path, object)) {
      onBytes(size);
      return false;
    }
    if (!isSymlink(header)) this.#writeRegular(path, object, onBytes);
    else this.#writeSymlink(path, object);
    return true;
  }

  /** A file of another size was left behind by a machine that stopped; it is replaced. */
  #isPresent(path: string, { header, size, prefixed }: FileObject): boolean {
    const found = this.#places.find(path);
    if (found === undefined) return false;
    if (this.#mode === "archive") return found.size >= prefixed.length;
    if (!isSymlink(header)) return found.size === size;
    return found.size === header.target.length + (this.#mode === "bare-user" ? 1 : 0);
  }

  /** @throws CfsError Unsupported */
  #expectRepresentable({ mode, uid, gid, xattrs }: FileHeader): void {
    const refuse = (why: string) => {
      throw new CfsError("Unsupported", `repositories of mode ${this.#mode} can't hold it: ${why}`, {
        hint: "export to a repository of mode archive or bare-user",
      });
    };
    if (this.#mode === "bare-user-only") {
      if (uid !== 0 || gid !== 0) refuse(`it belongs to ${uid}:${gid} and not to root`);
      if (xattrs.length > 0) refuse("it has extended attributes");
      const isFile = !isSymlink({ mode } as FileHeader);
      const bits = mode & 0o7777;
      if (isFile && (bits & ~USER_BITS) !== 0) refuse(`its permissions are 0${bits.toString(8)}`);
    }
    if (this.#mode === "bare") {
      if (uid === NO_ID || gid === NO_ID) refuse(`no file can belong to ${uid}:${gid}`);
      for (const [name, value] of xattrs) {
        if (!name.endsWith("\0"))
          refuse(`the name of its extended attribute '${display(name)}' does not end with NUL`);
        if (value === "") refuse(`its extended attribute '${display(name.slice(0, -1))}' is empty`);
      }
    }
    const isInode = this.#mode === "bare" || this.#mode === "bare-user-only";
    if (isInode && isSymlink({ mode } as FileHeader) && (mode & 0o7777) !== SYMLINK_BITS)
      refuse("it is a symbolic link with permissions other than 0777");
  }

  #writeRegular(path: string, object: FileObject, onBytes: (bytes: number) => void): void {
    this.#write(path, (file) => {
      if (this.#mode === "archive") this.#archive(path, file, object, onBytes);
      else {
        this.#copy(path, file, object, onBytes);
        this.#setStatus(path, file, object.header);
      }
    });
  }

  #archive(path: string, file: NewFile, object: FileObject, onBytes: (bytes: number) => void): void {
    const deflater = this.#deflater!;
    // Together with the first piece, in one call: most files are small.
    const pending: Uint8Array[] = [object.prefixed];
    let done = 0;
    deflater.reset();
    this.#read(object, (piece) => {
      done += piece.length;
      deflater.write(piece, done === object.size, (packed) => pending.push(packed.slice()));
      writeAll(file.fd, Buffer.concat(pending.splice(0)), path);
      onBytes(piece.length);
    });
    setMode(file.fd, OBJECT_MODE, path);
  }

  #copy(path: string, file: NewFile, object: FileObject, onBytes: (bytes: number) => void): void {
    let isCloned: boolean | undefined;
    this.#read(object, (piece, source) => {
      isCloned ??= this.#tryClone(source, file, path);
      if (!isCloned && piece.length > 0) writeAll(file.fd, piece, path);
      onBytes(piece.length);
    });
  }

  #tryClone(source: Fd | undefined, file: NewFile, path: string): boolean {
    if (source === undefined || !this.#canClone) return false;
    this.#canClone = cloneFile(source.fd, file.fd, path);
    return this.#canClone;
  }

  /**
   * Reads and verifies the content.
   * @param take gets piece after piece, at least one, and the file that they come from.
   */
  #read(object: FileObject, take: (piece: Uint8Array, source: Fd | undefined) => void): void {
    const { checksum, header, size, content } = object;
    const hasher = new FileHasher(header);
    if (typeof content !== "string") {
      if (content.length !== size)
        throw new CfsError("Corrupt", `it has ${content.length} bytes instead of ${size}`);
      hasher.update(content);
      expectChecksum(checksum, hasher.digest());
      take(content, undefined);
      return;
    }
    using file = this.#store.open(content);
    const found = fstat(file).size;
    if (found !== size) throw new CfsError("Corrupt", `${file.path} has ${found} bytes instead of ${size}`);
    let done = 0;
    do {
      const piece = this.#piece.subarray(0, Math.min(PIECE, size - done));
      if (pread(file.fd, piece, done, file.path) !== piece.length)
        throw new CfsError("Io", `${file.path} ends unexpectedly`);
      hasher.update(piece);
      take(piece, file);
      done += piece.length;
    } while (done < size);
    expectChecksum(checksum, hasher.digest());
  }

  #setStatus(path: string, file: NewFile, header: FileHeader): void {
    const { mode } = header;
    switch (this.#mode) {
      case "bare":
        this.#setOwnerAndXattrs(path, file, header);
        // After the owner, whose change takes setuid bits away.
        setMode(file.fd, mode & 0o7777, path);
        break;
      case "bare-user":
        setOstreeMeta(path, file, header);
        setMode(file.fd, (mode & USER_BITS) | OWNER_READ, path);
        break;
      default:
        setMode(file.fd, mode & 0o7777, path);
    }
    setTime(file, 0, path);
  }

  #writeSymlink(path: string, { checksum, header, prefixed }: FileObject): void {
    expectChecksum(checksum, new FileHasher(header).digest());
    if (this.#mode === "archive" || this.#mode === "bare-user") {
      this.#write(path, (file) => {
        const content = this.#mode === "archive" ? prefixed : bytesOf(`${header.target}\0`);
        writeAll(file.fd, content, path);
        if (this.#mode === "bare-user") setOstreeMeta(path, file, header);
        setMode(file.fd, OBJECT_MODE, path);
        if (this.#mode === "bare-user") setTime(file, 0, path);
      });
      return;
    }
    const link = this.#places.createSymlink(header.target);
    this.#finish(path, link, () => {
      const target = { dirfd: link.dirfd, name: link.name };
      if (this.#mode === "bare") this.#setOwnerAndXattrs(path, target, header);
      setTime(target, 0, path);
    });
  }

  #setOwnerAndXattrs(path: string, target: Target, { uid, gid, xattrs }: FileHeader): void {
    try {
      setOwner(target, uid, gid, path);
      for (const [name, value] of xattrs) setXattr(target, name.slice(0, -1), bytesOf(value), path);
    } catch (error) {
      if (!isErrno(error, EPERM)) throw error;
      throw new CfsError("Permission", `only root can write into ostree repositories of mode bare`, {
        cause: error,
        hint: "run the command as root, or export to a repository of mode bare-user or archive",
      });
    }
  }

  #write(path: string, fill: (file: NewFile) => void): void {
    const file = this.#places.create();
    this.#finish(path, file, () => fill(file));
  }

  #finish(path: string, file: NewFile, fill: () => void): void {
    let isPlaced = false;
    try {
      fill();
      this.#places.place(file, path);
      isPlaced = true;
    } finally {
      // What has its place has no other name any more.
      this.#places.close(isPlaced ? { fd: file.fd, name: undefined } : file);
    }
  }
}

function setOstreeMeta(path: string, file: NewFile, header: FileHeader): void {
  try {
    setXattr(file, OSTREE_META, encodeDirMeta(header), path);
  } catch (error) {
    if (!isErrno(error, EOPNOTSUPP)) throw error;
    throw new CfsError(
      "Unsupported",
      "the file system has no extended attributes, which mode bare-user needs",
      {
        cause: error,
        hint: "export to a repository of mode archive",
      },
    );
  }
}

function expectChecksum(expected: Checksum, found: Checksum): void {
  if (found === expected) return;
  throw new CfsError("Corrupt", `file object checksum mismatch: expected ${expected}, got ${found}`, {
    hint: "run `cfsctl ostree fsck`, and pull the commit again",
    data: { expected, found },
  });
}
