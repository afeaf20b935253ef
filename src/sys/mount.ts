import { SysError } from "./errno.ts";
import { Fd } from "./fd.ts";
import { AT_EMPTY_PATH, check } from "./file.ts";
import { cstring, libc, orErrno } from "./libc.ts";
import { NR, syscall } from "./syscall.ts";

// include/uapi/linux/mount.h
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_SET_FD = 5;
const FSCONFIG_CMD_CREATE = 6;
const MOVE_MOUNT_F_EMPTY_PATH = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const MNT_DETACH = 2;
export const MOUNT_ATTR_RDONLY = 0x01;
const MOUNT_ATTR_IDMAP = 0x100000;

/** More messages than the kernel keeps for one context (fs/fs_context.c keeps 8). */
const MAX_MESSAGES = 16;

/**
 * A file system that is being set up (fsopen). After an error it must be thrown away: the kernel leaves it half
 * configured. Errors carry what the kernel had to say about them.
 */
export class FsContext implements Disposable {
  readonly type: string;
  readonly #fd: Fd;

  constructor(type: string) {
    this.type = type;
    const result = syscall(NR.fsopen, cstring(type), FSOPEN_CLOEXEC);
    this.#fd = new Fd(check(result, "fsopen", `file system type ${type}`), type);
  }

  setFlag(key: string): void {
    this.#check(syscall(NR.fsconfig, this.#fd.fd, FSCONFIG_SET_FLAG, cstring(key), null, 0), `option ${key}`);
  }

  setString(key: string, value: string): void {
    const result = syscall(
      NR.fsconfig,
      this.#fd.fd,
      FSCONFIG_SET_STRING,
      cstring(key),
      cstring(Buffer.from(value, "utf8").latin1Slice()),
      0,
    );
    this.#check(result, `option ${key}=${value}`);
  }

  setFd(key: string, value: Fd): void {
    const result = syscall(NR.fsconfig, this.#fd.fd, FSCONFIG_SET_FD, cstring(key), null, value.fd);
    this.#check(result, `option ${key}`);
  }

  /** Makes the file system, and a mount of it that is attached nowhere yet. */
  mount(attributes: number): Fd {
    this.#check(syscall(NR.fsconfig, this.#fd.fd, FSCONFIG_CMD_CREATE, null, null, 0), "creation");
    const result = syscall(NR.fsmount, this.#fd.fd, FSMOUNT_CLOEXEC, attributes);
    return new Fd(this.#check(result, "mount"), `mount of ${this.type}`);
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }

  #check(result: number, step: string): number {
    if (result >= 0) return result;
    const messages = this.#messages();
    const said = messages.length === 0 ? "" : ` (the kernel says: ${messages.join("; ")})`;
    throw new SysError(-result, "fsconfig", `${this.type} ${step}${said}`);
  }

  /** What the kernel logged for this context: each read returns one message, with `e `, `w ` or `i ` in front. */
  #messages(): string[] {
    const messages: string[] = [];
    const buffer = Buffer.alloc(4096);
    while (messages.length < MAX_MESSAGES) {
      const length = orErrno(libc.read(this.#fd.fd, buffer, buffer.length));
      // ENODATA: no more of them.
      if (length <= 0) break;
      messages.push(
        buffer
          .toString("utf8", 0, length)
          .replace(/^[ewi] /, "")
          .trim(),
      );
    }
    return messages;
  }
}

/** Attaches a mount that is attached nowhere, on top of what is at `target`. */
export function moveMount(mount: Fd, target: Fd): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  const empty = cstring("");
  check(syscall(NR.move_mount, mount.fd, empty, target.fd, empty, flags), "move_mount", target.path);
}

/** Makes a mount that is attached nowhere show its owners as the user namespace `userns` maps them. */
export function idmapMount(mount: Fd, userns: Fd): void {
  /** struct mount_attr: attr_set, attr_clr, propagation, userns_fd. */
  const attributes = new BigUint64Array([BigInt(MOUNT_ATTR_IDMAP), 0n, 0n, BigInt(userns.fd)]);
  const result = syscall(
    NR.mount_setattr,
    mount.fd,
    cstring(""),
    AT_EMPTY_PATH,
    attributes,
    attributes.byteLength,
  );
  check(result, "mount_setattr", `${mount.path} mapped by ${userns.path}`);
}

/** Takes away what is mounted on `path` (text); what is still open there lives on. */
export function detachMount(path: string): void {
  const result = syscall(NR.umount2, cstring(Buffer.from(path, "utf8").latin1Slice()), MNT_DETACH);
  check(result, "umount2", path);
}
