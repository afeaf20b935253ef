import { type Pointer, ptr } from "bun:ffi";
import { EINTR } from "./errno.ts";
import { libc, orErrno } from "./libc.ts";

const arm64 = process.arch === "arm64";

/**
 * Numbers of the system calls for which not every C library has a function
 * (arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h in Linux).
 * Those from 424 on are the same on every machine.
 */
export const NR = {
  lseek: arm64 ? 62 : 8,
  mmap: arm64 ? 222 : 9,
  mprotect: arm64 ? 226 : 10,
  getdents64: arm64 ? 61 : 217,
  statx: arm64 ? 291 : 332,
  fstatfs: arm64 ? 44 : 138,
  renameat2: arm64 ? 276 : 316,
  umount2: arm64 ? 39 : 166,
  capget: arm64 ? 90 : 125,
  move_mount: 429,
  fsopen: 430,
  fsconfig: 431,
  fsmount: 432,
  openat2: 437,
  mount_setattr: 442,
  listxattrat: 465,
} as const;

/** An argument: an integer, memory, or null. */
export type Argument = number | NodeJS.TypedArray | null;

/**
 * Makes a system call by number and returns its result or the negative errno; EINTR is retried.
 * For calls that are not hot: every memory argument costs a look-up of its address.
 */
export function syscall(
  number: number,
  a1: Argument,
  a2: Argument = 0,
  a3: Argument = 0,
  a4: Argument = 0,
  a5: Argument = 0,
): number {
  held.arguments = [a1, a2, a3, a4, a5];
  for (;;) {
    const result = orErrno(
      libc.syscall(number, word(a1), word(a2) as Pointer, word(a3), word(a4), word(a5), 0),
    );
    if (result === -EINTR) continue;
    held.arguments = [];
    return result;
  }
}

/** Addresses are plain numbers, so the memory they point to must stay referenced until the call is over. */
const held: { arguments: Argument[] } = { arguments: [] };

function word(argument: Argument): number {
  if (argument === null) return 0;
  return typeof argument === "number" ? argument : ptr(argument);
}

/** Memory whose address never changes: for arguments that are used again and again. */
export function pinned(size: number): { bytes: Uint8Array<ArrayBuffer>; address: number } {
  const bytes = new Uint8Array(new ArrayBuffer(size));
  return { bytes, address: ptr(bytes) };
}
