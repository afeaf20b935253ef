import { dlopen, FFIType, read } from "bun:ffi";

const { i32, u32, i64_fast, u64_fast, ptr } = FFIType;

/**
 * The C functions we call. Variadic ones (open, ioctl, fcntl) are declared with the arguments that we pass:
 * on Linux x86-64 and arm64, integer arguments travel in the same registers either way.
 */
const SIGNATURES = {
  __errno_location: { args: [], returns: ptr },
  openat: { args: [i32, ptr, i32, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  read: { args: [i32, ptr, u64_fast], returns: i64_fast },
  pread: { args: [i32, ptr, u64_fast, i64_fast], returns: i64_fast },
  write: { args: [i32, ptr, u64_fast], returns: i64_fast },
  pwrite: { args: [i32, ptr, u64_fast, i64_fast], returns: i64_fast },
  ioctl: { args: [i32, u64_fast, ptr], returns: i32 },
  linkat: { args: [i32, ptr, i32, ptr, i32], returns: i32 },
  symlinkat: { args: [ptr, i32, ptr], returns: i32 },
  llistxattr: { args: [ptr, ptr, u64_fast], returns: i64_fast },
  lgetxattr: { args: [ptr, ptr, ptr, u64_fast], returns: i64_fast },
  readlinkat: { args: [i32, ptr, ptr, u64_fast], returns: i64_fast },
  renameat: { args: [i32, ptr, i32, ptr], returns: i32 },
  unlinkat: { args: [i32, ptr, i32], returns: i32 },
  mkdirat: { args: [i32, ptr, u32], returns: i32 },
  faccessat: { args: [i32, ptr, i32, i32], returns: i32 },
  fcntl: { args: [i32, i32, ptr], returns: i32 },
  fchmod: { args: [i32, u32], returns: i32 },
  fchownat: { args: [i32, ptr, u32, u32, i32], returns: i32 },
  utimensat: { args: [i32, ptr, ptr, i32], returns: i32 },
  futimens: { args: [i32, ptr], returns: i32 },
  fsetxattr: { args: [i32, ptr, ptr, u64_fast, i32], returns: i32 },
  lsetxattr: { args: [ptr, ptr, ptr, u64_fast, i32], returns: i32 },
  ftruncate: { args: [i32, i64_fast], returns: i32 },
  fsync: { args: [i32], returns: i32 },
  syncfs: { args: [i32], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  isatty: { args: [i32], returns: i32 },
  syscall: { args: [i64_fast, i64_fast, ptr, i64_fast, i64_fast, i64_fast, i64_fast], returns: i64_fast },
} as const;

function open() {
  const names = ["libc.so.6", process.arch === "arm64" ? "libc.musl-aarch64.so.1" : "libc.musl-x86_64.so.1"];
  let last: unknown;
  for (const name of names) {
    try {
      return dlopen(name, SIGNATURES).symbols;
    } catch (error) {
      last = error;
    }
  }
  throw new Error("no C library found (looked for glibc and musl)", { cause: last });
}

export const libc = open();

const errnoAddress = libc.__errno_location()!;

/** errno of this thread; must be read right after the call that failed. */
export function errno(): number {
  return read.i32(errnoAddress, 0);
}

/** Result of a call, or the negative errno: no exception, for hot paths and expected failures. */
export function orErrno(result: number | bigint): number {
  return result < 0 ? -errno() : (result as number);
}

/** A NUL-terminated path. Names are byte strings: one character a byte. */
export function cstring(path: string): Buffer<ArrayBuffer> {
  const buffer = Buffer.allocUnsafe(path.length + 1);
  buffer.latin1Write(path, 0);
  buffer[path.length] = 0;
  return buffer;
}

const PATH_MAX = 4096;
const scratch = Buffer.alloc(PATH_MAX);

/** As `cstring`, in a buffer that the next call overwrites: for one path of a call that is made at once. */
export function scratchPath(path: string): Uint8Array {
  if (path.length >= PATH_MAX) return cstring(path);
  scratch.latin1Write(path, 0);
  scratch[path.length] = 0;
  return scratch;
}
