import type { ByteString } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import type { Fd } from "../../sys/fd.ts";
import { pread } from "../../sys/file.ts";
import { fstat } from "../../sys/stat.ts";
import type { TarEntry } from "../../tar/entry.ts";
import { endInsideBody, TarParser } from "../../tar/parser.ts";
import type { FilePart } from "./decompress-file.ts";

/** Members beyond this number are refused: an archive has a few for each layer of each image. */
const MAX_MEMBERS = 1_000_000;
const WINDOW = 2 * 1024 * 1024;
/** Headers are small; bodies are skipped, not read. */
const HEADER_READ = 64 * 1024;

/** A regular file, or a symbolic link with its text. */
export type TarMember = FilePart | { readonly target: ByteString };

/** By plain path. */
export type TarMembers = ReadonlyMap<ByteString, TarMember>;

/**
 * Regular files and symbolic links of a plain tar archive; the last one of a name counts. A hard link is the file that
 * had the other name when it came.
 * @throws CfsError Invalid, Corrupt
 */
export function listMembers(file: Fd): TarMembers {
  const members = new Map<ByteString, TarMember>();
  const parser = new TarParser();
  const window = new Uint8Array(WINDOW);
  const { size: fileSize } = fstat(file);
  /** The window holds [base, base + end) of the file. */
  let base = 0;
  let end = 0;
  let at = 0;
  const load = (length: number) => {
    base += at;
    at = 0;
    end = pread(file.fd, window.subarray(0, Math.min(length, WINDOW)), base, file.path);
  };
  load(HEADER_READ);
  for (;;) {
    const step = parser.step(window, at, end, base + end >= fileSize);
    if (step.kind === "end") return members;
    let length: number;
    if (step.kind === "more") {
      load(Math.max(step.need, HEADER_READ));
      if (end < step.need && base + end < fileSize) throw endInsideBody();
      continue;
    }
    if (step.kind === "inline") length = step.length;
    else {
      const { entry, headerLength, size } = step;
      addMember(members, entry, { offset: base + at + headerLength, size });
      length = headerLength + size + step.padding;
    }
    if (base + at + length > fileSize) throw endInsideBody();
    at += length;
    if (at >= end) load(HEADER_READ);
  }
}

function addMember(members: Map<ByteString, TarMember>, entry: TarEntry, body: FilePart): void {
  const member = memberOf(members, entry, body);
  if (member === undefined) return;
  if (members.size >= MAX_MEMBERS) throw new CfsError("Invalid", "the archive has too many members");
  members.set(plainPath(entry.path), member);
}

function memberOf(members: TarMembers, entry: TarEntry, body: FilePart): TarMember | undefined {
  if (entry.sparse !== undefined) return undefined;
  switch (entry.type) {
    case "file":
      return body;
    case "symlink":
      return { target: entry.linkName };
    case "hardlink":
      return members.get(plainPath(entry.linkName));
    default:
      return undefined;
  }
}

/** A path without `.` components and slashes that mean nothing. */
export function plainPath(path: ByteString): ByteString {
  return path
    .split("/")
    .filter((component) => component !== "." && component !== "")
    .join("/");
}
