import { CfsError } from "../errors.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import {
  EEXIST,
  EKEYREJECTED,
  ENODATA,
  ENOSYS,
  ENOTTY,
  EOPNOTSUPP,
  EOVERFLOW,
  ETXTBSY,
  SysError,
} from "./errno.ts";
import { libc, orErrno } from "./libc.ts";

/** ioctl numbers of include/uapi/linux/fsverity.h; the same on x86-64 and arm64. */
const FS_IOC_ENABLE_VERITY = 0x40806685;
const FS_IOC_MEASURE_VERITY = 0xc0046686;

export type EnableResult = "enabled" | "already" | "unsupported" | "busy";

/**
 * Turns fs-verity on. `fd` must be read-only and the only descriptor of the file;
 * "busy" means that somebody (a child being forked) still has it open for writing.
 */
export function enableVerity(fd: number, algorithm: Algorithm, path?: string): EnableResult {
  const arg = new Uint32Array(32);
  arg[0] = 1;
  arg[1] = algorithm.kernelId;
  arg[2] = 4096;
  const result = orErrno(libc.ioctl(fd, FS_IOC_ENABLE_VERITY, arg));
  switch (-result) {
    case 0:
      return "enabled";
    case EEXIST:
      return "already";
    case ENOTTY:
    case EOPNOTSUPP:
    case ENOSYS:
      return "unsupported";
    case ETXTBSY:
      return "busy";
    case EKEYREJECTED:
      throw new CfsError("Permission", `${path ?? "file"}: the kernel rejected its fs-verity signature`);
    default:
      throw new SysError(-result, "FS_IOC_ENABLE_VERITY", path);
  }
}

export type Measurement =
  | { readonly state: "measured"; readonly id: ObjectId }
  /** The file has no fs-verity. */
  | { readonly state: "missing" }
  /** The file system has none. */
  | { readonly state: "unsupported" }
  /** The file has fs-verity with another hash. */
  | { readonly state: "other"; readonly detail: string };

const measureBuffer = Buffer.alloc(68);

/** The kernel's own digest of a file. */
export function measureVerity(fd: number, algorithm: Algorithm, path?: string): Measurement {
  measureBuffer.writeUInt16LE(0, 0);
  measureBuffer.writeUInt16LE(algorithm.size, 2);
  const result = orErrno(libc.ioctl(fd, FS_IOC_MEASURE_VERITY, measureBuffer));
  switch (-result) {
    case 0:
      break;
    case ENODATA:
      return { state: "missing" };
    case ENOTTY:
    case EOPNOTSUPP:
    case ENOSYS:
      return { state: "unsupported" };
    case EOVERFLOW:
      return { state: "other", detail: `its fs-verity digest is longer than ${algorithm.hash}` };
    default:
      throw new SysError(-result, "FS_IOC_MEASURE_VERITY", path);
  }
  const kernelId = measureBuffer.readUInt16LE(0);
  if (kernelId !== algorithm.kernelId || measureBuffer.readUInt16LE(2) !== algorithm.size) {
    return { state: "other", detail: `its fs-verity hash is number ${kernelId}, not ${algorithm.hash}` };
  }
  return { state: "measured", id: measureBuffer.hexSlice(4, 4 + algorithm.size) as ObjectId };
}
