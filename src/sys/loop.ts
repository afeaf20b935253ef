import { CfsError } from "../errors.ts";
import { EBUSY, EINVAL, ENOENT, SysError } from "./errno.ts";
import type { Fd } from "./fd.ts";
import { check, O_RDWR, open } from "./file.ts";
import { libc, orErrno } from "./libc.ts";

// include/uapi/linux/loop.h
const LOOP_CTL_GET_FREE = 0x4c82;
const LOOP_CONFIGURE = 0x4c0a;
const LO_FLAGS_READ_ONLY = 1;
const LO_FLAGS_AUTOCLEAR = 4;
const LO_FLAGS_DIRECT_IO = 16;

/** struct loop_config: u32 fd, u32 block_size, then struct loop_info64, of which only lo_flags at 52 is set. */
const CONFIG_SIZE = 304;
const FLAGS_AT = 8 + 52;
const BLOCK_SIZE = 4096;

const MAX_ATTEMPTS = 64;

/**
 * A read-only loop device over an open file. It frees itself when the last user is gone: keep the descriptor open
 * until the device is mounted.
 */
export function attachLoopDevice(file: Fd): Fd {
  using control = open("/dev/loop-control", O_RDWR);
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const number = check(orErrno(libc.ioctl(control.fd, LOOP_CTL_GET_FREE, null)), "LOOP_CTL_GET_FREE");
    const device = open(`/dev/loop${number}`, O_RDWR);
    let result = configure(device, file, LO_FLAGS_DIRECT_IO);
    // Not every file system can read past the page cache; the kernel then says EINVAL.
    if (result === -EINVAL) result = configure(device, file, 0);
    if (result === 0) return device;
    device.close();
    // Somebody else was faster.
    if (result === -EBUSY || result === -ENOENT) continue;
    throw new SysError(-result, "LOOP_CONFIGURE", `${device.path} for ${file.path}`);
  }
  throw new CfsError("Io", `no free loop device found in ${MAX_ATTEMPTS} attempts`, {
    hint: "`losetup --list` shows which are in use",
  });
}

function configure(device: Fd, file: Fd, flags: number): number {
  const config = Buffer.alloc(CONFIG_SIZE);
  config.writeUInt32LE(file.fd, 0);
  config.writeUInt32LE(BLOCK_SIZE, 4);
  config.writeUInt32LE(LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR | flags, FLAGS_AT);
  return orErrno(libc.ioctl(device.fd, LOOP_CONFIGURE, config));
}
