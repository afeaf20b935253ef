import { type ByteString, display, fromText } from "../bytes.ts";
import { CfsError, withContext } from "../errors.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../mode.ts";
import { DT_DIR, type NameMaker, openDirectory, readDirectory } from "../sys/dir.ts";
import { SysError } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { AT_FDCWD, pathBytes, readlinkat } from "../sys/file.ts";
import { emptyStatus, type FileStatus, fstat, tryFstatat } from "../sys/stat.ts";
import { readXattrs } from "../sys/xattr.ts";
import {
  type Content,
  type Directory,
  directory,
  INLINE_LIMIT,
  type Leaf,
  leaf,
  NO_XATTRS,
  type Stat,
} from "../tree/model.ts";
import { packEntries } from "../tree/packed-entries.ts";
import { FileList } from "./file-list.ts";
import { FrugalLinkFinder, type LinkFinder, ThoroughLinkFinder } from "./link-finder.ts";
import { NameCache } from "./name-cache.ts";
import { StatCache } from "./stat-cache.ts";
import { deviceOf, UnchangedFile, versionOf } from "./unchanged-file.ts";

export interface ScanOptions {
  /** Which extended attributes to read, by name; all unless given. */
  readonly wantedXattr?: (name: ByteString) => boolean;
  /** Directories in the root whose entries are not looked at. */
  readonly emptied?: readonly ByteString[];
  /** Directories of other file systems are not looked into. */
  readonly oneFileSystem?: boolean;
}

/** A tree whose larger files have yet to be hashed. */
export interface ScannedDirectory extends Disposable {
  readonly root: Directory;
  /** The open directory itself. */
  readonly fd: Fd;
  /** How many names were found, without those of directories. */
  readonly entryCount: number;
  /** The files above 64 bytes. Their leaves have the declared size only, until they get their digests. */
  readonly files: FileList;
}

/** A directory that is being walked. Its descriptor stays open until its last subdirectory has been opened. */
interface Frame {
  readonly fd: Fd;
  /** Relative to the root; empty for it. */
  readonly path: ByteString;
  readonly node: Directory;
  /** Names of the subdirectories to be visited. */
  readonly pending: ByteString[];
}

/**
 * Reads a directory and all below it: metadata, link targets, extended attributes and the content of files of up to
 * 64 bytes. No symbolic link is followed, the given path's last component included; mount points are crossed unless asked otherwise. Files
 * that are the same inode become hard links.
 * @param path text, of a directory.
 * @throws CfsError naming the file that can't be read or changes while it is.
 */
export function scanDirectory(path: string, options: ScanOptions = {}): ScannedDirectory {
  const top = openDirectory(AT_FDCWD, pathBytes(path), path);
  try {
    const found =
      new Scan(path, top, options, new FrugalLinkFinder()).run() ??
      new Scan(path, top, options, new ThoroughLinkFinder()).run()!;
    return { ...found, fd: top, [Symbol.dispose]: () => top.close() };
  } catch (error) {
    top.close();
    throw withContext(`reading the files of ${display(fromText(path))}`, error);
  }
}

class Scan {
  readonly #files: FileList;
  readonly #top: Fd;
  readonly #label: string;
  readonly #options: ScanOptions;
  readonly #status = emptyStatus();
  readonly #links: LinkFinder;
  readonly #stats = new StatCache();
  readonly #names = new NameCache();
  readonly #nameOf: NameMaker = (bytes, start, end) => this.#names.of(bytes, start, end);
  readonly #inlines = new Map<ByteString, Content>();
  /** Of the directory itself. Files are not asked: on overlayfs they may have another one. */
  #device: number | undefined;
  #entryCount = 0;

  constructor(path: string, top: Fd, options: ScanOptions, links: LinkFinder) {
    this.#label = path.replace(/\/+$/, "");
    this.#top = top;
    this.#options = options;
    this.#links = links;
    this.#files = new FileList(this.#label);
  }

  /** Undefined when files were taken for several that are one. */
  run(): Pick<ScannedDirectory, "root" | "files" | "entryCount"> | undefined {
    const top = this.#visit(this.#top, "");
    const stack = [top];
    try {
      for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
        const name = frame.pending.pop();
        if (name === undefined) {
          stack.pop();
          continue;
        }
        const path = frame.path === "" ? name : `${frame.path}/${name}`;
        const fd = openDirectory(frame.fd.fd, name, this.#labelOf(path));
        // A chain of directories needs one descriptor, not one a level.
        const isLast = frame.pending.length === 0;
        if (isLast) {
          stack.pop();
          this.#close(frame.fd);
        }
        const child = this.#visitOrClose(fd, path);
        frame.node.entries.set(name, child.node);
        if (isLast) packEntries(frame.node);
        if (child.pending.length === 0) this.#close(fd);
        else stack.push(child);
      }
    } finally {
      for (const { fd } of stack) this.#close(fd);
    }
    if (this.#links.hasMissed) return undefined;
    return { root: top.node, files: this.#files, entryCount: this.#entryCount };
  }

  /** All but the root's descriptor, which is needed for hashing. */
  #close(fd: Fd): void {
    if (fd !== this.#top) fd.close();
  }

  #visitOrClose(fd: Fd, path: ByteString): Frame {
    try {
      return this.#visit(fd, path);
    } catch (error) {
      fd.close();
      throw error;
    }
  }

  /** Reads everything in a directory but its subdirectories. */
  #visit(fd: Fd, path: ByteString): Frame {
    const label = () => this.#labelOf(path);
    const status = fstat(fd);
    const node = directory(this.#stat(status, fd.fd, ".", label));
    const pending: ByteString[] = [];
    const frame = { fd, path, node, pending };
    if (this.#options.emptied?.includes(path) || this.#isElsewhere(status)) return frame;
    this.#files.enter(path);
    for (const { name, type } of readDirectory(fd, { nameOf: this.#nameOf })) {
      const child = type === DT_DIR ? undefined : this.#leaf(frame, name);
      if (child === undefined) pending.push(name);
      else node.entries.set(name, child);
    }
    if (pending.length === 0) packEntries(node);
    return frame;
  }

  #isElsewhere(status: FileStatus): boolean {
    const device = deviceOf(status);
    this.#device ??= device;
    return this.#options.oneFileSystem === true && device !== this.#device;
  }

  /** Undefined for what turns out to be a directory. */
  #leaf({ fd, path }: Frame, name: ByteString): Leaf | undefined {
    this.#entryCount++;
    const status = this.#status;
    const label = () => this.#labelOf(path === "" ? name : `${path}/${name}`);
    const result = tryFstatat(fd.fd, name, status);
    if (result < 0) throw new SysError(-result, "statx", label());
    if ((status.mode & S_IFMT) === S_IFDIR) return undefined;

    const known = this.#links.find(status);
    if (known !== undefined) return known;

    const stat = this.#stat(status, fd.fd, name, label);
    const isFile = (status.mode & S_IFMT) === S_IFREG;
    let found: Leaf;
    if (isFile && status.size > INLINE_LIMIT) {
      found = leaf(stat, { type: "sparse", size: BigInt(status.size) });
      this.#files.add(name, versionOf(status), found);
    } else {
      found = leaf(
        stat,
        isFile ? this.#inline(readInline(fd.fd, name, status, label)) : content(fd.fd, name, status, label),
      );
    }
    this.#links.add(status, found);
    return found;
  }

  /** Files often have the same few bytes; those of a while ago are forgotten. */
  #inline(data: ByteString): Content {
    let found = this.#inlines.get(data);
    if (found === undefined) {
      if (this.#inlines.size === MAX_INLINES) this.#inlines.clear();
      found = { type: "inline", data };
      this.#inlines.set(data, found);
    }
    return found;
  }

  #stat(status: FileStatus, dirfd: number, name: ByteString, label: () => string): Stat {
    return this.#stats.of(status, readXattrs(dirfd, name, label, this.#options.wantedXattr) ?? NO_XATTRS);
  }

  #labelOf(path: ByteString): string {
    return path === "" ? this.#label : `${this.#label}/${display(path)}`;
  }
}

const MAX_INLINES = 4096;

function readInline(dirfd: number, name: ByteString, status: FileStatus, label: () => string): ByteString {
  if (status.size === 0) return "";
  using file = new UnchangedFile(dirfd, name, versionOf(status), label);
  const data = INLINE_VIEWS[status.size]!;
  file.read(data, 0);
  file.finish();
  return data.latin1Slice();
}

const inlineData = Buffer.alloc(INLINE_LIMIT);
/** By the number of bytes: there may be very many small files. */
const INLINE_VIEWS = Array.from({ length: INLINE_LIMIT + 1 }, (_, size) => inlineData.subarray(0, size));

/** What a node that is neither directory nor regular file is. */
function content(dirfd: number, name: ByteString, status: FileStatus, label: () => string): Content {
  switch (status.mode & S_IFMT) {
    case S_IFLNK: {
      const target = readlinkat(dirfd, name);
      if (target === undefined) throw new CfsError("NotFound", `${label()} vanished while it was read`);
      return { type: "symlink", target };
    }
    case S_IFCHR:
      return { type: "char", rdev: deviceNumber(status) };
    case S_IFBLK:
      return { type: "block", rdev: deviceNumber(status) };
    case S_IFIFO:
      return { type: "fifo" };
    case S_IFSOCK:
      return { type: "socket" };
    default:
      throw new CfsError("Unsupported", `${label()} is of an unknown type (mode ${status.mode.toString(8)})`);
  }
}

/** As `st_rdev` holds it (makedev(3)). */
function deviceNumber({ rdevMajor, rdevMinor }: FileStatus): bigint {
  const major = BigInt(rdevMajor);
  const minor = BigInt(rdevMinor);
  return (minor & 0xffn) | ((major & 0xfffn) << 8n) | ((minor & ~0xffn) << 12n) | ((major & ~0xfffn) << 32n);
}
