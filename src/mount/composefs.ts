import { CfsError, type ErrorOptions, kindOf, withContext } from "../errors.ts";
import { CAP_SYS_ADMIN, hasCapability } from "../sys/capability.ts";
import { EINVAL, ENODEV, ENOTBLK, EPERM, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { O_DIRECTORY, O_PATH, open } from "../sys/file.ts";
import { attachLoopDevice } from "../sys/loop.ts";
import { FsContext, idmapMount, MOUNT_ATTR_RDONLY, moveMount } from "../sys/mount.ts";
import { fstat } from "../sys/stat.ts";
import { attachTemporarily } from "./temporary-mount.ts";

/** "require": the kernel refuses to open a file whose object does not have the digest that the image names. */
export type MountVerity = "require" | "none";

export interface ComposefsMount {
  /** The EROFS image, open for reading. Its digest has been checked by the caller. */
  readonly image: Fd;
  /** Shown as `composefs:NAME` in the list of mounts. */
  readonly name: string;
  /** Directories with objects, open for reading; the first one that has an object wins. */
  readonly objectDirs: readonly Fd[];
  readonly verity: MountVerity;
  /** Where changes go; both directories or none, on the same file system. */
  readonly upper?: { readonly upperdir: Fd; readonly workdir: Fd };
  /** Changes are possible; only with `upper`. */
  readonly readWrite: boolean;
  /** A user namespace (/proc/PID/ns/user): owners appear as it maps them. */
  readonly idmap?: Fd;
}

/** What this kernel can do, as far as it has been found out. */
export interface KernelPaths {
  /** EROFS reads from a file (Linux 6.12 with CONFIG_EROFS_FS_BACKED_BY_FILE); else a loop device is needed. */
  erofsFromFile: boolean;
  /** Overlayfs takes a mount that is attached nowhere as a layer (Linux 6.15). */
  layersByDescriptor: boolean;
}

/** For this process: what did not work once is not tried again. */
const thisKernel: KernelPaths = { erofsFromFile: true, layersByDescriptor: true };

/**
 * Mounts an image with its objects on the directory `mountpoint`.
 * @throws CfsError with a hint where the reason can be guessed; nothing stays mounted then
 */
export function mountComposefs(what: ComposefsMount, mountpoint: string, kernel = thisKernel): void {
  using target = openMountpoint(mountpoint);
  using mount = createComposefs(what, kernel);
  try {
    moveMount(mount, target);
  } catch (error) {
    throw withContext("attaching the mount", error);
  }
}

function openMountpoint(path: string): Fd {
  try {
    return open(path, O_PATH | O_DIRECTORY);
  } catch (error) {
    throw withContext("mountpoint", error);
  }
}

/** The same mount, attached nowhere. */
function createComposefs(what: ComposefsMount, kernel = thisKernel): Fd {
  if (what.objectDirs.length === 0) throw new CfsError("Invalid", "no directory with objects was given");
  if (what.upper !== undefined) checkUpper(what.upper);
  using erofs = mountErofs(what.image, kernel);
  if (what.idmap !== undefined) idmapMount(erofs, what.idmap);
  return mountOverlay(what, erofs, kernel);
}

/** The kernel would only say "Invalid argument". */
function checkUpper({ upperdir, workdir }: NonNullable<ComposefsMount["upper"]>): void {
  const upper = fstat(upperdir);
  const work = fstat(workdir);
  if (upper.devMajor === work.devMajor && upper.devMinor === work.devMinor) return;
  throw new CfsError("Invalid", `${upperdir.path} and ${workdir.path} are on different file systems`, {
    hint: "the upper and the work directory must be on the same one",
  });
}

function mountErofs(image: Fd, kernel: KernelPaths): Fd {
  try {
    if (kernel.erofsFromFile) {
      try {
        return mountErofsSource(procPath(image));
      } catch (error) {
        // "Block device required"
        if (!isErrno(error, ENOTBLK)) throw error;
        kernel.erofsFromFile = false;
      }
    }
    using device = attachLoopDevice(image);
    return mountErofsSource(device.path);
  } catch (error) {
    throw new CfsError(kindOf(error) ?? "Io", "mounting the EROFS image", explainErofs(error));
  }
}

function mountErofsSource(source: string): Fd {
  using context = new FsContext("erofs");
  context.setFlag("ro");
  context.setString("source", source);
  return context.mount(0);
}

function explainErofs(cause: unknown): ErrorOptions {
  if (isErrno(cause, EPERM)) {
    const hint = hasCapability(CAP_SYS_ADMIN)
      ? "the kernel mounts EROFS only outside of user namespaces, that is, not in a rootless container"
      : "mounting needs root";
    return { cause, hint };
  }
  if (isErrno(cause, ENODEV)) return { cause, hint: "the kernel lacks EROFS; try `modprobe erofs`" };
  if (isErrno(cause, EINVAL))
    return { cause, hint: "the image is no valid EROFS image; `cfsctl fsck` says more" };
  return { cause };
}

function mountOverlay(what: ComposefsMount, erofs: Fd, kernel: KernelPaths): Fd {
  if (kernel.layersByDescriptor) {
    try {
      return mountLayers(what, (overlay) => {
        overlay.setFd("lowerdir+", erofs);
        for (const objects of what.objectDirs) overlay.setFd("datadir+", objects);
      });
    } catch {
      // An old kernel or a mistake: the other way tells which, and fails with a better error.
    }
  }
  using attached = attachTemporarily(erofs);
  // `::` in front of a layer says that only data is taken from it.
  const lowerdir = [attached.root, ...what.objectDirs].map(procPath).join("::");
  try {
    const mount = mountLayers(what, (overlay) => overlay.setString("lowerdir", lowerdir));
    kernel.layersByDescriptor = false;
    return mount;
  } catch (error) {
    throw new CfsError(kindOf(error) ?? "Io", "mounting the overlay", explainOverlay(error, what));
  }
}

/** A context that had an error can't be used again, so every attempt makes a new one. */
function mountLayers(what: ComposefsMount, setLayers: (overlay: FsContext) => void): Fd {
  using overlay = new FsContext("overlay");
  overlay.setString("source", `composefs:${what.name}`);
  // Distributions differ in whether these are on.
  overlay.setString("metacopy", "on");
  overlay.setString("redirect_dir", "on");
  if (what.verity === "require") overlay.setString("verity", "require");
  if (what.upper !== undefined) {
    overlay.setString("upperdir", procPath(what.upper.upperdir));
    overlay.setString("workdir", procPath(what.upper.workdir));
  }
  setLayers(overlay);
  return overlay.mount(what.readWrite && what.upper !== undefined ? 0 : MOUNT_ATTR_RDONLY);
}

function explainOverlay(cause: unknown, what: ComposefsMount): ErrorOptions {
  if (isErrno(cause, ENODEV)) return { cause, hint: "the kernel lacks overlayfs; try `modprobe overlay`" };
  if (!isErrno(cause, EINVAL)) return { cause };
  if (cause.path?.startsWith("overlay option verity") === true) {
    return { cause, hint: "the kernel's overlayfs does not check fs-verity; Linux 6.6 or newer does" };
  }
  if (what.upper !== undefined) {
    return {
      cause,
      hint: "the upper and the work directory must be separate, on a writable file system with extended attributes",
    };
  }
  return { cause, hint: "Linux 6.5 or newer is needed; the kernel log (`dmesg`) says more" };
}

function procPath(fd: Fd): string {
  return `/proc/self/fd/${fd.fd}`;
}
