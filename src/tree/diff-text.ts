import { type ByteString, toText } from "../bytes.ts";
import type { Node, Stat } from "./model.ts";

export type NodeType = "directory" | "file" | "symlink" | "char" | "block" | "fifo" | "socket";

/** What `stat` would call it. */
export function typeOf(node: Node): NodeType {
  if (node.kind === "directory") return "directory";
  const { type } = node.content;
  switch (type) {
    case "inline":
    case "external":
    case "external-no-verity":
    case "backed":
    case "sparse":
      return "file";
    default:
      return type;
  }
}

/** `0755` */
export function modeText(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** Seconds since 1970 with nine decimals. */
export function timeText({ mtime, mtimeNsec }: Stat): string {
  return `${mtime}.${String(mtimeNsec).padStart(9, "0")}`;
}

/** `MAJOR:MINOR` of a device number as `st_rdev` holds it (makedev(3)). */
export function deviceText(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

/**
 * UTF-8 where it is, of any length, unlike `display`. Bytes that are no UTF-8 and ASCII's control characters are `\xHH`,
 * other control characters `\u00HH`, and a backslash is doubled: different bytes never have the same text.
 */
export function bytesText(bytes: ByteString): string {
  // biome-ignore-start lint/suspicious/noControlCharactersInRegex: control characters must not reach a terminal
  const text = toText(bytes);
  return text === undefined
    ? bytes.replace(/[\x00-\x1f\x7f-\xff\\]/g, (c) => escaped(c, "\\x"))
    : text.replace(/[\x00-\x1f\x7f-\x9f\\]/g, (c) => escaped(c, c <= "\x7f" ? "\\x" : "\\u00"));
  // biome-ignore-end lint/suspicious/noControlCharactersInRegex: see above
}

function escaped(c: string, prefix: string): string {
  return c === "\\" ? "\\\\" : prefix + c.charCodeAt(0).toString(16).padStart(2, "0");
}
