import { type ByteString, display } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { Directory, Leaf } from "../tree/model.ts";
import { countLinks, directories } from "../tree/walk.ts";
import type { Algorithm } from "../verity/digest.ts";
import {
  type FormatVersion,
  OVERLAY_ESCAPE_PREFIX,
  OVERLAY_PREFIX,
  WHITEOUT_DIRECTORY_MARKERS,
  WHITEOUT_MARKERS,
  WHITEOUT_OPAQUE_MARKERS,
} from "./format.ts";
import { looksLikeStub } from "./plan-tree.ts";
import { DEFAULT_READ_LIMITS, type ExtraPairs, type ReadLimits, readImageVerbatim } from "./reader.ts";
import { compareStructure, type StructureDifference, structureText } from "./structure.ts";
import { writeImage } from "./writer.ts";

type Pair = readonly [ByteString, ByteString];

/**
 * Compares an image with what the writer makes of the tree in it: the format leaves no choice, so every reserved field,
 * order, offset, filter and padding byte is covered. Nothing that writing loses matters here: what images of versions 0
 * and 1 add (whiteout table, markers of escaped whiteouts) is recognised one by one, and all else is kept; nanoseconds
 * are zero in images of version 2 to begin with.
 *
 * Takes the memory of the tree and of a second image.
 *
 * @param most how many differences to name.
 * @returns where the image differs; nothing for a right one.
 * @throws CfsError Corrupt when the tree can't be read, or holds what no image can.
 */
export function checkStructure(
  bytes: Uint8Array,
  algorithm: Algorithm,
  most = 10,
  limits: ReadLimits = DEFAULT_READ_LIMITS,
): StructureDifference[] {
  const extra: ExtraPairs = new Map();
  const { root, version } = readImageVerbatim(bytes, algorithm, extra, limits);
  if (version !== 2) removeAdditions(root, version, extra);
  for (const pairs of extra.values()) {
    if (pairs.length > 0)
      return [{ path: undefined, what: `an inode has the xattr ${display(pairs[0]![0])} twice` }];
  }
  let rewritten: Uint8Array;
  try {
    rewritten = writeImage(root, version, algorithm);
  } catch (cause) {
    throw new CfsError("Corrupt", "image holds a tree that cannot be written", { cause });
  }
  if (Buffer.compare(rewritten, bytes) === 0) return [];
  return [...compareStructure(bytes, rewritten).take(most)];
}

/**
 * The same for who only wants right images.
 * @throws CfsError Corrupt: what the tree reader finds, or the first difference.
 */
export function checkCanonical(
  bytes: Uint8Array,
  algorithm: Algorithm,
  limits: ReadLimits = DEFAULT_READ_LIMITS,
): void {
  const [difference] = checkStructure(bytes, algorithm, 1, limits);
  if (difference === undefined) return;
  const text = structureText(difference);
  throw new CfsError("Corrupt", `Invalid image: not what its tree gives when written: ${text}`);
}

/** Takes off what the writer adds for whiteouts, where all of it is there. */
function removeAdditions(root: Directory, version: FormatVersion, extra: ExtraPairs): void {
  const links = countLinks(root);
  const directoryMarkers: Pair[] = WHITEOUT_DIRECTORY_MARKERS.map((name) => [name, ""]);
  if (version === 1) for (const name of WHITEOUT_OPAQUE_MARKERS) directoryMarkers.push([name, "x"]);
  const fileMarkers: Pair[] = WHITEOUT_MARKERS.map((name) => [name, ""]);
  for (const directory of directories(root)) {
    if (!hasAll(directory, directoryMarkers, extra)) continue;
    let found = false;
    for (const [name, node] of directory.entries) {
      if (node.kind !== "leaf" || links.has(node)) continue;
      if (node.content.type !== "inline" || node.content.data !== "") continue;
      if (!hasAll(node, fileMarkers, extra)) continue;
      const plain = withoutPairs(node, fileMarkers, extra);
      // Such a whiteout would have been taken for one of the table, and written without markers.
      if (directory === root && looksLikeStub(name, { ...node.stat, xattrs: plain.xattrs }, root.stat))
        continue;
      node.stat = { ...node.stat, xattrs: plain.xattrs };
      extra.set(node, plain.extra);
      node.content = { type: "char", rdev: 0n };
      found = true;
    }
    if (!found) continue;
    const plain = withoutPairs(directory, directoryMarkers, extra);
    directory.stat = { ...directory.stat, xattrs: plain.xattrs };
    extra.set(directory, plain.extra);
  }
}

/** As the reader names it. */
function unescaped(name: ByteString): ByteString {
  return name.startsWith(OVERLAY_ESCAPE_PREFIX)
    ? OVERLAY_PREFIX + name.slice(OVERLAY_ESCAPE_PREFIX.length)
    : name;
}

function allPairs(node: Directory | Leaf, extra: ExtraPairs): Pair[] {
  return [...node.stat.xattrs, ...(extra.get(node) ?? [])];
}

function hasAll(node: Directory | Leaf, markers: readonly Pair[], extra: ExtraPairs): boolean {
  if (node.stat.xattrs.size === 0) return false;
  const pairs = allPairs(node, extra);
  return markers.every(([name, value]) => pairs.some((p) => p[0] === unescaped(name) && p[1] === value));
}

/** A node's xattrs without one occurrence of each marker: its own one of the same name stays. */
function withoutPairs(
  node: Directory | Leaf,
  markers: readonly Pair[],
  extra: ExtraPairs,
): { xattrs: Map<ByteString, ByteString>; extra: [ByteString, ByteString][] } {
  const pairs = allPairs(node, extra);
  for (const [name, value] of markers) {
    const at = pairs.findIndex((p) => p[0] === unescaped(name) && p[1] === value);
    pairs.splice(at, 1);
  }
  const xattrs = new Map<ByteString, ByteString>();
  const left: [ByteString, ByteString][] = [];
  for (const [name, value] of pairs) {
    if (xattrs.has(name)) left.push([name, value]);
    else xattrs.set(name, value);
  }
  return { xattrs, extra: left };
}
