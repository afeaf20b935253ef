import { CfsError, type ErrorKind } from "../errors.ts";

/** errno values that Linux shares between x86-64 and arm64 (asm-generic/errno*.h). */
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const ENXIO = 6;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const ENOTBLK = 15;
export const EBUSY = 16;
export const EEXIST = 17;
export const EXDEV = 18;
export const ENODEV = 19;
export const ENOTDIR = 20;
export const EISDIR = 21;
export const EINVAL = 22;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ETXTBSY = 26;
export const EFBIG = 27;
export const ENOSPC = 28;
export const EROFS = 30;
export const EMLINK = 31;
export const EPIPE = 32;
export const ERANGE = 34;
export const ENAMETOOLONG = 36;
export const ENOSYS = 38;
export const ENOTEMPTY = 39;
export const ELOOP = 40;
export const ENODATA = 61;
export const EOVERFLOW = 75;
export const EOPNOTSUPP = 95;
export const EDQUOT = 122;
export const EKEYREJECTED = 129;

const NAMES: Record<number, [code: string, text: string]> = {
  [EPERM]: ["EPERM", "Operation not permitted"],
  [ENOENT]: ["ENOENT", "No such file or directory"],
  [EINTR]: ["EINTR", "Interrupted system call"],
  [EIO]: ["EIO", "Input/output error"],
  [ENXIO]: ["ENXIO", "No such device or address"],
  [EBADF]: ["EBADF", "Bad file descriptor"],
  [EAGAIN]: ["EAGAIN", "Resource temporarily unavailable"],
  [ENOMEM]: ["ENOMEM", "Cannot allocate memory"],
  [EACCES]: ["EACCES", "Permission denied"],
  [ENOTBLK]: ["ENOTBLK", "Block device required"],
  [EBUSY]: ["EBUSY", "Device or resource busy"],
  [EEXIST]: ["EEXIST", "File exists"],
  [EXDEV]: ["EXDEV", "Invalid cross-device link"],
  [ENODEV]: ["ENODEV", "No such device"],
  [ENOTDIR]: ["ENOTDIR", "Not a directory"],
  [EISDIR]: ["EISDIR", "Is a directory"],
  [EINVAL]: ["EINVAL", "Invalid argument"],
  [EMFILE]: ["EMFILE", "Too many open files"],
  [ENOTTY]: ["ENOTTY", "Inappropriate ioctl for device"],
  [ETXTBSY]: ["ETXTBSY", "Text file busy"],
  [EFBIG]: ["EFBIG", "File too large"],
  [ENOSPC]: ["ENOSPC", "No space left on device"],
  [EROFS]: ["EROFS", "Read-only file system"],
  [EMLINK]: ["EMLINK", "Too many links"],
  [EPIPE]: ["EPIPE", "Broken pipe"],
  [ERANGE]: ["ERANGE", "Numerical result out of range"],
  [ENAMETOOLONG]: ["ENAMETOOLONG", "File name too long"],
  [ENOSYS]: ["ENOSYS", "Function not implemented"],
  [ENOTEMPTY]: ["ENOTEMPTY", "Directory not empty"],
  [ELOOP]: ["ELOOP", "Too many levels of symbolic links"],
  [ENODATA]: ["ENODATA", "No data available"],
  [EOVERFLOW]: ["EOVERFLOW", "Value too large for defined data type"],
  [EOPNOTSUPP]: ["EOPNOTSUPP", "Operation not supported"],
  [EDQUOT]: ["EDQUOT", "Disk quota exceeded"],
  [EKEYREJECTED]: ["EKEYREJECTED", "Key was rejected by service"],
};

function errnoCode(errno: number): string {
  return NAMES[errno]?.[0] ?? `errno ${errno}`;
}

/** `No such file or directory (os error 2)`. */
export function errnoText(errno: number): string {
  const text = NAMES[errno]?.[1];
  return text === undefined ? `os error ${errno}` : `${text} (os error ${errno})`;
}

function kindOfErrno(errno: number): ErrorKind {
  switch (errno) {
    case ENOENT:
      return "NotFound";
    case EEXIST:
      return "Exists";
    case EPERM:
    case EACCES:
    case EROFS:
      return "Permission";
    case ENOSYS:
    case EOPNOTSUPP:
    case ENOTTY:
      return "Unsupported";
    default:
      return "Io";
  }
}

/** A system call that failed: which one, on what, and why. */
export class SysError extends CfsError {
  readonly errno: number;
  readonly syscall: string;
  readonly path?: string;

  constructor(errno: number, syscall: string, path?: string) {
    const hint =
      errno === ENOSPC || errno === EDQUOT ? "free some space and run the same command again" : undefined;
    super(
      kindOfErrno(errno),
      path === undefined ? `${syscall}: ${errnoText(errno)}` : `${path}: ${errnoText(errno)}`,
      {
        data: { errno: errnoCode(errno), syscall, ...(path === undefined ? {} : { path }) },
        ...(hint === undefined ? {} : { hint }),
      },
    );
    this.name = "SysError";
    this.errno = errno;
    this.syscall = syscall;
    if (path !== undefined) this.path = path;
  }
}

export function isErrno(error: unknown, ...errnos: number[]): error is SysError {
  return error instanceof SysError && errnos.includes(error.errno);
}
