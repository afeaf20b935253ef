import type { ByteString } from "../bytes.ts";
import type { Directory, Stat } from "../tree/model.ts";
import { directories, isWhiteout } from "../tree/walk.ts";
import {
  type FormatVersion,
  OVERLAY_ESCAPE_PREFIX,
  OVERLAY_PREFIX,
  WHITEOUT_DIRECTORY_MARKERS,
  WHITEOUT_MARKERS,
  WHITEOUT_OPAQUE_MARKERS,
} from "./format.ts";

/**
 * Takes off the xattrs that have the names of the markers which the writer adds to whiteouts and their directories: else
 * an image has these names twice, and which of them counts is for its reader to say.
 */
export function dropOwnMarkers(root: Directory, version: FormatVersion): void {
  if (version === 2) return;
  const onFile = ownNames(WHITEOUT_MARKERS);
  const onDirectory = ownNames(WHITEOUT_DIRECTORY_MARKERS);
  if (version === 1) for (const name of ownNames(WHITEOUT_OPAQUE_MARKERS)) onDirectory.add(name);
  for (const directory of directories(root)) {
    let found = false;
    for (const node of directory.entries.values()) {
      if (node.kind !== "leaf" || !isWhiteout(node)) continue;
      found = true;
      node.stat = withoutXattrs(node.stat, onFile);
    }
    if (found) directory.stat = withoutXattrs(directory.stat, onDirectory);
  }
}

/** Names as nodes have them, which are escaped in images. */
function ownNames(names: readonly ByteString[]): Set<ByteString> {
  return new Set(
    names.map((name) =>
      name.startsWith(OVERLAY_ESCAPE_PREFIX)
        ? OVERLAY_PREFIX + name.slice(OVERLAY_ESCAPE_PREFIX.length)
        : name,
    ),
  );
}

function withoutXattrs(stat: Stat, names: ReadonlySet<ByteString>): Stat {
  if (names.isDisjointFrom(new Set(stat.xattrs.keys()))) return stat;
  return { ...stat, xattrs: new Map([...stat.xattrs].filter(([name]) => !names.has(name))) };
}
