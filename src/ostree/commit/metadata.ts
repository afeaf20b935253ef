import type { ByteString } from "../../bytes.ts";
import { S_IFDIR, S_IFLNK, S_IFREG } from "../../mode.ts";
import type { Stat, Xattrs } from "../../tree/model.ts";
import type { FileHeader } from "../file-header.ts";
import type { DirMeta, XattrPair } from "../objects.ts";

/** How the metadata of a tree becomes that of a commit. */
export interface MetadataRules {
  /** Names of xattrs get the NUL at their end that libostree expects, unless they have it. */
  readonly terminateXattrNames: boolean;
  /** SELinux labels get the NUL at their end that the kernel gives them, unless they have it. */
  readonly terminateLabels: boolean;
  /** Leave out xattrs without a value: libostree does not see them when it reads a file. */
  readonly dropEmptyXattrs: boolean;
  readonly noXattrs: boolean;
  /**
   * Everything belongs to root, has no xattrs, and only permission bits up to 0755: what repositories of mode
   * bare-user-only can hold, as `ostree commit --canonical-permissions` does it.
   */
  readonly canonical: boolean;
}

/** What `ostree commit` does with the files of a directory. */
export const OSTREE_RULES: MetadataRules = {
  terminateXattrNames: true,
  terminateLabels: false,
  dropEmptyXattrs: true,
  noXattrs: false,
  canonical: false,
};

/** What composefs-rs does with the files of an image. */
export const IMAGE_RULES: MetadataRules = {
  ...OSTREE_RULES,
  terminateXattrNames: false,
  terminateLabels: true,
  dropEmptyXattrs: false,
};

const LABEL = /^security\.selinux\0?$/;
const CANONICAL_BITS = 0o755;

export function fileHeader(stat: Stat, rules: MetadataRules): FileHeader {
  return { ...common(stat, S_IFREG, rules), target: "" };
}

export function symlinkHeader(stat: Stat, target: ByteString, rules: MetadataRules): FileHeader {
  const { mode } = stat;
  const header = common(stat, S_IFLNK, rules);
  return { ...header, mode: S_IFLNK | mode, target };
}

export function directoryMeta(stat: Stat, rules: MetadataRules): DirMeta {
  return common(stat, S_IFDIR, rules);
}

function common({ uid, gid, mode, xattrs }: Stat, type: number, rules: MetadataRules): DirMeta {
  if (rules.canonical) return { uid: 0, gid: 0, mode: type | (mode & CANONICAL_BITS), xattrs: [] };
  return { uid, gid, mode: type | mode, xattrs: rules.noXattrs ? [] : xattrPairs(xattrs, rules) };
}

function xattrPairs(xattrs: Xattrs, rules: MetadataRules): XattrPair[] {
  if (xattrs.size === 0) return [];
  const pairs: XattrPair[] = [];
  for (const [name, value] of xattrs) {
    if (rules.dropEmptyXattrs && value === "") continue;
    const isLabel = rules.terminateLabels && LABEL.test(name);
    pairs.push([rules.terminateXattrNames ? terminated(name) : name, isLabel ? terminated(value) : value]);
  }
  return pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

function terminated(text: ByteString): ByteString {
  return text.endsWith("\0") ? text : `${text}\0`;
}
