import { NR, syscall } from "./syscall.ts";

/** include/uapi/linux/capability.h */
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
export const CAP_SYS_ADMIN = 21;

/** Whether this process has a capability in its effective set. */
export function hasCapability(capability: number): boolean {
  const header = new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]);
  /** Two of { effective, permitted, inheritable }: bits 0–31 and 32–63. */
  const data = new Uint32Array(6);
  if (syscall(NR.capget, header, data) < 0) return false;
  return ((data[capability < 32 ? 0 : 3]! >>> (capability & 31)) & 1) === 1;
}
