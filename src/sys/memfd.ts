import { Fd } from "./fd.ts";
import { check } from "./file.ts";
import { cstring } from "./libc.ts";
import { NR, syscall } from "./syscall.ts";

/** include/uapi/linux/memfd.h */
const MFD_CLOEXEC = 1;

/** An anonymous file in memory; `name` is what /proc shows. */
export function createMemoryFile(name: string): Fd {
  return new Fd(check(syscall(NR.memfd_create, cstring(name), MFD_CLOEXEC), "memfd_create", name), name);
}
