import type { ByteString } from "../bytes.ts";
import type { Difference } from "./diff.ts";
import type { Directory, Node, Stat } from "./model.ts";
import { keepsXattr, type XattrFilter } from "./transform.ts";
import { directories, isWhiteout } from "./walk.ts";

/** A tree and where it comes from: each way of making one loses something of its own. */
export interface DiffSide {
  readonly root: Directory;
  /** The rules for container images were applied (see `applyOciTransform`), or it is a directory as it was found. */
  readonly origin: "image" | "directory";
  /** What the rules have kept; of an image only. */
  readonly xattrs?: XattrFilter;
  /** Its format has no room for nanoseconds. */
  readonly wholeSeconds?: boolean;
}

/**
 * What a tree that somebody made shows of how it was made: nobody has written down whether the rules for container
 * images were applied, but where they were not, it nearly always shows.
 */
export function recognizeOrigin(root: Directory): Pick<DiffSide, "origin" | "xattrs"> {
  const usr = root.entries.get("usr");
  const run = root.entries.get("run");
  if (usr?.kind === "directory" && !hasSameMetadata(root.stat, usr.stat)) return { origin: "directory" };
  if (run?.kind === "directory" && run.entries.size > 0) return { origin: "directory" };
  let xattrs: XattrFilter = "allowlist-only";
  for (const name of xattrNames(root)) {
    if (!keepsXattr("keep-user-xattrs", name)) return { origin: "directory" };
    if (!keepsXattr("allowlist-only", name)) xattrs = "keep-user-xattrs";
  }
  return { origin: "image", xattrs };
}

function hasSameMetadata(a: Stat, b: Stat): boolean {
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.mtime === b.mtime &&
    a.mtimeNsec === b.mtimeNsec &&
    a.xattrs.size === b.xattrs.size &&
    [...a.xattrs].every(([name, value]) => b.xattrs.get(name) === value)
  );
}

function* xattrNames(root: Directory): Generator<ByteString> {
  for (const { stat, entries } of directories(root)) {
    yield* stat.xattrs.keys();
    for (const node of entries.values()) if (node.kind === "leaf") yield* node.stat.xattrs.keys();
  }
}

interface Sides {
  /** The image is what was expected. */
  readonly imageFirst: boolean;
  readonly image: DiffSide;
  readonly directory: DiffSide;
  /** The entry in the image and in the directory. */
  readonly imageNode: Node | undefined;
  readonly directoryNode: Node | undefined;
}

/**
 * Why an image and a directory that was made of it, or that it was made of, differ although nothing is wrong; or two
 * images, one of which is in a format that can't hold everything.
 * @returns one short sentence; undefined when nothing of the kind is known.
 */
export function knownReason(difference: Difference, expected: DiffSide, found: DiffSide): string | undefined {
  const reason = noNanoseconds(difference, expected, found);
  if (reason !== undefined || expected.origin === found.origin) return reason;
  const imageFirst = expected.origin === "image";
  const sides: Sides = {
    imageFirst,
    image: imageFirst ? expected : found,
    directory: imageFirst ? found : expected,
    imageNode: imageFirst ? difference.expectedNode : difference.foundNode,
    directoryNode: imageFirst ? difference.foundNode : difference.expectedNode,
  };
  for (const rule of RULES) {
    const reason = rule(difference, sides);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function noNanoseconds(
  { field, expectedNode, foundNode }: Difference,
  { wholeSeconds: isExpectedCut }: DiffSide,
  { wholeSeconds: isFoundCut }: DiffSide,
): string | undefined {
  if (field !== "mtime" || isExpectedCut === isFoundCut) return undefined;
  return expectedNode?.stat.mtime === foundNode?.stat.mtime
    ? "images of format 2 have no nanoseconds"
    : undefined;
}

type Rule = (difference: Difference, sides: Sides) => string | undefined;

const STAT_FIELDS: ReadonlySet<string> = new Set(["mode", "uid", "gid", "mtime", "xattr"]);

const filteredXattr: Rule = ({ field, xattr }, { image, imageNode, directoryNode }) => {
  if (field !== "xattr" || image.xattrs === undefined || keepsXattr(image.xattrs, xattr!)) return undefined;
  if (imageNode?.stat.xattrs.has(xattr!) === true || directoryNode === undefined) return undefined;
  return image.xattrs === "allowlist-only"
    ? "images keep only security.capability"
    : "images keep only security.capability and user.*";
};

const rootMetadata: Rule = ({ path, field }, { image }) =>
  path === "/" && STAT_FIELDS.has(field) && image.root.entries.get("usr")?.kind === "directory"
    ? "the root of an image has the metadata of /usr"
    : undefined;

const emptiedRun: Rule = ({ path, field }, { imageNode }) => {
  if (path === "/run" && field === "mtime" && imageNode?.kind === "directory")
    return "/run of an image has the time of /usr";
  return path.startsWith("/run/") && field === "entry" && imageNode === undefined
    ? "/run of an image is empty"
    : undefined;
};

const impliedDirectory: Rule = ({ field }, { imageNode }) =>
  imageNode?.kind === "directory" && STAT_FIELDS.has(field) && isImplied(imageNode.stat)
    ? "no layer describes this directory"
    : undefined;

/** As directories are that only follow from the paths of others. */
function isImplied({ mode, uid, gid, mtime, mtimeNsec, xattrs }: Stat): boolean {
  return mode === 0o755 && uid === 0 && gid === 0 && mtime === 0n && mtimeNsec === 0 && xattrs.size === 0;
}

const wholeSeconds: Rule = ({ field }, { imageNode, directoryNode }) => {
  if (field !== "mtime") return undefined;
  const [a, b] = [imageNode!.stat, directoryNode!.stat];
  return a.mtime === b.mtime && (a.mtimeNsec === 0 || b.mtimeNsec === 0)
    ? "times were cut to whole seconds on the way, as images of format 2 do"
    : undefined;
};

const brokenHardLink: Rule = ({ field, expected, found }, { imageFirst, imageNode, directoryNode }) => {
  if (field !== "nlink" || imageNode === undefined || directoryNode === undefined) return undefined;
  const [inImage, inDirectory] = imageFirst ? [expected, found] : [found, expected];
  return Number(inDirectory) < Number(inImage) ? "copying has broken hard links" : undefined;
};

const hiddenWhiteout: Rule = ({ field }, { imageNode, directoryNode }) =>
  field === "entry" && directoryNode === undefined && imageNode?.kind === "leaf" && isWhiteout(imageNode)
    ? "overlayfs hides character devices 0:0"
    : undefined;

/** What unpacking without root can't do. */
const unprivileged: Rule = ({ field }, { directory, imageNode, directoryNode }) => {
  if (imageNode === undefined || directoryNode === undefined) return undefined;
  if (field === "uid" || field === "gid") {
    const owner = directory.root.stat;
    return owner.uid !== 0 && directoryNode.stat[field] === owner[field]
      ? "unpacked without root: everything belongs to one user"
      : undefined;
  }
  return field === "type" && isDevice(imageNode) && isEmptyFile(directoryNode)
    ? "unpacked without root: devices became empty files"
    : undefined;
};

function isDevice(node: Node): boolean {
  return node.kind === "leaf" && (node.content.type === "char" || node.content.type === "block");
}

function isEmptyFile(node: Node): boolean {
  return node.kind === "leaf" && node.content.type === "inline" && node.content.data === "";
}

const symlinkMode: Rule = ({ field }, { directoryNode }) =>
  field === "mode" && directoryNode?.kind === "leaf" && directoryNode.content.type === "symlink"
    ? "Linux gives every symbolic link the mode 0777"
    : undefined;

const RULES: readonly Rule[] = [
  filteredXattr,
  rootMetadata,
  emptiedRun,
  impliedDirectory,
  wholeSeconds,
  brokenHardLink,
  hiddenWhiteout,
  unprivileged,
  symlinkMode,
];
