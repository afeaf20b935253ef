import { availableParallelism } from "node:os";
import { S_IFIFO, S_IFMT } from "../mode.ts";
import { AT_FDCWD, O_NONBLOCK, O_RDONLY, O_WRONLY, pathBytes, tryOpenat, writeAll } from "../sys/file.ts";
import { libc } from "../sys/libc.ts";
import { emptyStatus, tryFstat } from "../sys/stat.ts";

/** How many threads may be used; to be given back when they have ended. */
export interface JobAllowance extends Disposable {
  readonly count: number;
}

/**
 * The number of threads to use: what the user asked for; else what a GNU make that started us has to give (its job
 * server, as its manual describes in "POSIX Jobserver Interaction"); else the number of CPUs this process may use.
 */
export function acquireJobs(requested: number | undefined, environment = process.env): JobAllowance {
  const flags = environment.MAKEFLAGS ?? "";
  if (requested === undefined) {
    const server = JobServer.fromMakeFlags(flags);
    if (server !== undefined) return server;
  }
  const isSerialMake = /(^|\s)-j1(\s|$)/.test(flags);
  return { count: requested ?? (isSerialMake ? 1 : availableParallelism()), [Symbol.dispose]() {} };
}

/** Every process started by make owns one job; more are single bytes to be read from a pipe and written back. */
class JobServer implements JobAllowance {
  readonly #writeFd: number;
  readonly #tokens: Uint8Array;

  private constructor(readFd: number, writeFd: number) {
    this.#writeFd = writeFd;
    const wanted = new Uint8Array(availableParallelism() - 1);
    // Whatever is free at this moment: waiting for more would only lose time.
    const got = wanted.length === 0 ? 0 : Number(libc.read(readFd, wanted, wanted.length));
    this.#tokens = wanted.slice(0, Math.max(0, got));
    libc.close(readFd);
  }

  static fromMakeFlags(flags: string): JobServer | undefined {
    const auth = [...flags.matchAll(/--jobserver-(?:auth|fds)=(\S+)/g)].at(-1)?.[1];
    if (auth === undefined) return undefined;
    const pipe = /^(\d+),(\d+)$/.exec(auth);
    const [from, to] = auth.startsWith("fifo:")
      ? [auth.slice("fifo:".length), auth.slice("fifo:".length)]
      : pipe === null
        ? []
        : [`/proc/self/fd/${pipe[1]}`, `/proc/self/fd/${pipe[2]}`];
    if (from === undefined || to === undefined) return undefined;
    // Opened anew, so that not blocking is our affair only: the pipe is shared with make's other children.
    const readFd = openPipe(from, O_RDONLY);
    if (readFd === undefined) return undefined;
    const writeFd = openPipe(to, O_WRONLY);
    if (writeFd === undefined) {
      libc.close(readFd);
      return undefined;
    }
    return new JobServer(readFd, writeFd);
  }

  get count(): number {
    return 1 + this.#tokens.length;
  }

  [Symbol.dispose](): void {
    if (this.#tokens.length > 0) writeAll(this.#writeFd, this.#tokens, "make's job server");
    libc.close(this.#writeFd);
  }
}

/** Make may have kept its descriptors to itself, and their numbers are then those of any other files. */
function openPipe(path: string, access: number): number | undefined {
  const fd = tryOpenat(AT_FDCWD, pathBytes(path), access | O_NONBLOCK);
  if (fd < 0) return undefined;
  const status = emptyStatus();
  if (tryFstat(fd, status) >= 0 && (status.mode & S_IFMT) === S_IFIFO) return fd;
  libc.close(fd);
  return undefined;
}
