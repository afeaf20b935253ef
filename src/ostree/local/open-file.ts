import { byteString, bytesOf } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { S_IFLNK, S_IFMT } from "../../mode.ts";
import { ELOOP, ENOENT, SysError } from "../../sys/errno.ts";
import { Fd } from "../../sys/fd.ts";
import {
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  pread,
  readlinkat,
  readSmallFile,
  tryOpenat,
} from "../../sys/file.ts";
import { emptyStatus, fstat, isRegular, tryFstatat } from "../../sys/stat.ts";
import { readXattrs } from "../../sys/xattr.ts";
import type { Checksum } from "../checksum.ts";
import { checkMode, type FileHeader } from "../file-header.ts";
import { MAX_METADATA_SIZE, parseInodeMeta, parseXattrs, type XattrPair } from "../objects.ts";
import type { LocalFiles, RepositoryMode } from "../source.ts";

/** `xx/rest.extension`: where an object lies below `objects/`. */
export function objectFile(checksum: Checksum, extension: string): string {
  return `${checksum.slice(0, 2)}/${checksum.slice(2)}.${extension}`;
}

/** A file of a repository of one of the bare modes: its header and where its content is. */
export type BareFile =
  | { readonly header: FileHeader; readonly content: undefined }
  | { readonly header: FileHeader; readonly content: Fd; readonly size: number };

/** ostree's own attribute in repositories of mode bare-user, which holds what the file's inode can't. */
const OSTREE_META = "user.ostreemeta";
const MAX_TARGET = 4096;
const status = emptyStatus();

/** Opens an object for reading. @throws CfsError NotFound; Corrupt when it is something else than a regular file. */
export function openObject(objectsFd: number, path: string): Fd {
  const fd = tryOpenat(objectsFd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (fd === -ENOENT) throw missing(path);
  if (fd === -ELOOP) throw new CfsError("Corrupt", `objects/${path} is a symbolic link`);
  if (fd < 0) throw new SysError(-fd, "openat", `objects/${path}`);
  return new Fd(fd, `objects/${path}`);
}

function missing(path: string): CfsError {
  return new CfsError("NotFound", `objects/${path} is missing`, {
    hint: "run `ostree fsck` on the repository",
  });
}

/** Opens the file of an object in a repository of a bare mode. The caller closes what is open. */
export function openBareFile({ objectsFd, mode }: LocalFiles, checksum: Checksum): BareFile {
  const path = objectFile(checksum, "file");
  const fd = tryOpenat(objectsFd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (fd === -ENOENT) throw missing(path);
  if (fd === -ELOOP) return symlink(objectsFd, mode, checksum);
  if (fd < 0) throw new SysError(-fd, "openat", `objects/${path}`);
  const file = new Fd(fd, `objects/${path}`);
  try {
    return bareUserSymlink(regular(objectsFd, mode, checksum, file), file);
  } catch (error) {
    file.close();
    throw error;
  }
}

function regular(
  objectsFd: number,
  mode: RepositoryMode,
  checksum: Checksum,
  file: Fd,
): { readonly header: FileHeader; readonly size: number } {
  const found = fstat(file);
  if (!isRegular(found)) throw new CfsError("Corrupt", `${file.path} is not a regular file`);
  const { size } = found;
  const path = objectFile(checksum, "file");
  switch (mode) {
    case "bare-user": {
      const meta = readXattrs(
        objectsFd,
        path,
        () => file.path,
        (name) => name === OSTREE_META,
      )?.get(OSTREE_META);
      if (meta === undefined) throw new CfsError("Corrupt", `${file.path} has no attribute ${OSTREE_META}`);
      return { header: { ...parseInodeMeta(bytesOf(meta)), target: "" }, size };
    }
    case "bare-user-only":
      return { header: { uid: 0, gid: 0, mode: found.mode, target: "", xattrs: [] }, size };
    default: {
      const xattrs = xattrsOf(objectsFd, mode, checksum);
      return { header: { uid: found.uid, gid: found.gid, mode: found.mode, target: "", xattrs }, size };
    }
  }
}

/** In mode bare-user, the target of a symbolic link is the content of a regular file. */
function bareUserSymlink({ header, size }: { header: FileHeader; size: number }, file: Fd): BareFile {
  if ((header.mode & S_IFMT) !== S_IFLNK) {
    checkMode(header);
    return { header, content: file, size };
  }
  const bytes = readSmallFile(file, MAX_TARGET);
  file.close();
  const target = byteString(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes);
  if (target.includes("\0")) throw new CfsError("Corrupt", `${file.path}: the target has a NUL inside`);
  return { header: { ...header, target }, content: undefined };
}

function symlink(objectsFd: number, mode: RepositoryMode, checksum: Checksum): BareFile {
  const path = objectFile(checksum, "file");
  if (mode === "bare-user") throw new CfsError("Corrupt", `objects/${path} is a symbolic link`);
  const target = readlinkat(objectsFd, path);
  const result = tryFstatat(objectsFd, path, status);
  if (target === undefined || result === -ENOENT) throw missing(path);
  if (result < 0) throw new SysError(-result, "statx", `objects/${path}`);
  const isOwned = mode !== "bare-user-only";
  const { uid, gid } = isOwned ? status : { uid: 0, gid: 0 };
  const header = { uid, gid, mode: status.mode, target };
  return {
    header: { ...header, xattrs: isOwned ? xattrsOf(objectsFd, mode, checksum) : [] },
    content: undefined,
  };
}

function xattrsOf(objectsFd: number, mode: RepositoryMode, checksum: Checksum): XattrPair[] {
  if (mode === "bare-split-xattrs") {
    using file = openObject(objectsFd, objectFile(checksum, "file-xattrs-link"));
    return parseXattrs(readSmallFile(file, MAX_METADATA_SIZE));
  }
  const path = objectFile(checksum, "file");
  const found = readXattrs(objectsFd, path, () => `objects/${path}`) ?? new Map<string, string>();
  return [...found]
    .map(([name, value]): XattrPair => [`${name}\0`, value])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Reads an open file by position. */
export function readerOf(file: Fd): (buffer: Uint8Array, position: number) => number {
  return (buffer, position) => pread(file.fd, buffer, position, file.path);
}
