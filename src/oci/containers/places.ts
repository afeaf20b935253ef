import { readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { CfsError, withContext } from "../../errors.ts";
import { EFBIG, ENOENT, ENOTDIR, isErrno } from "../../sys/errno.ts";
import { O_NONBLOCK, O_RDONLY, open, readSmallFile } from "../../sys/file.ts";

/** Where the configuration of the tools for containers is looked for. */
export interface Places {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Home directory of the user. */
  readonly home: string;
  /** What stands in front of absolute paths such as /etc; empty but in tests. */
  readonly root: string;
  readonly uid: number;
}

/** Those of the user who runs the program. */
export function usualPlaces(environment: Places["environment"] = process.env): Places {
  const home = environment.HOME;
  return {
    environment,
    home: home === undefined || home === "" ? homedir() : home,
    root: "",
    uid: process.getuid?.() ?? 0,
  };
}

/** The value of an environment variable; unset and empty mean the same. */
export function variable({ environment }: Places, name: string): string | undefined {
  const value = environment[name];
  return value === "" ? undefined : value;
}

/** A path below `~/.config/containers`: XDG_CONFIG_HOME has no say in it. */
export function userPath({ home }: Places, name: string): string {
  return join(home, ".config/containers", name);
}

/** A path below `/etc/containers`. */
export function systemPath({ root }: Places, name: string): string {
  return join(root, "/etc/containers", name);
}

const MAX_FILE_SIZE = 1024 * 1024;
const MAX_FILES = 1000;

/** Whether an error says that there is no such file. */
function isAbsent(error: unknown): boolean {
  return isErrno(error, ENOENT) || isErrno(error, ENOTDIR);
}

/** The content of a file of at most 1 MiB; undefined when there is none. */
export function readConfigurationFile(file: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    // without O_NONBLOCK, opening a FIFO would wait for somebody to write
    using opened = open(file, O_RDONLY | O_NONBLOCK);
    return readSmallFile(opened, MAX_FILE_SIZE);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    if (isErrno(error, EFBIG))
      throw new CfsError("Invalid", `${file} is larger than 1 MiB, which no configuration file should be`);
    throw withContext(`configuration file ${file} can't be read`, error);
  }
}

/** As `readConfigurationFile`, of UTF-8. @throws CfsError Invalid for other bytes */
export function readConfigurationText(file: string): string | undefined {
  const bytes = readConfigurationFile(file);
  if (bytes === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new CfsError("Invalid", `${file} is not UTF-8 text`);
  }
}

/** Names of the entries of a directory in the order of their bytes; undefined when there is none. */
export function listConfigurationDirectory(directory: string): readonly string[] | undefined {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new CfsError("Io", `the directory ${directory} can't be read`, { cause: error });
  }
  if (names.length > MAX_FILES)
    throw new CfsError("Invalid", `${directory} has ${names.length} entries; at most ${MAX_FILES} are read`);
  return names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
