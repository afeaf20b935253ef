import type { ByteString } from "../bytes.ts";
import type { TarEntry } from "../tar/entry.ts";
import { dumpLine, escapeField } from "../tree/dump.ts";
import { directory, leaf } from "../tree/model.ts";
import type { LayerEntry } from "./layer-entries.ts";
import { contentOf, type ExpandSparse, statOf } from "./layering.ts";

/**
 * The entries of a layer as lines of a dumpfile, in the order of the tar and without any layering: whiteouts are
 * files, hard links name their target, modes are as recorded.
 * @throws CfsError Unsupported or Invalid for an entry that no line can describe.
 */
export function* dumpLayer(entries: Iterable<LayerEntry>, expandSparse: ExpandSparse): Generator<string> {
  for (const { entry, content } of entries) {
    const path = absolutePath(entry.path);
    if (entry.type === "hardlink") {
      yield `${escapeField(path)} 0 @120000 - - - - 0.0 ${escapeField(absolutePath(entry.linkName))} - -\n`;
      continue;
    }
    yield dumpLine(nodeOf(entry, content, expandSparse), path);
  }
}

function nodeOf(entry: TarEntry, content: LayerEntry["content"], expandSparse: ExpandSparse) {
  const stat = { ...statOf(entry), mode: entry.mode };
  return entry.type === "directory" ? directory(stat) : leaf(stat, contentOf(entry, content, expandSparse));
}

/** One leading slash instead of none, and none at the end; the root and an empty path are empty. */
function absolutePath(path: ByteString): ByteString {
  const trimmed = path.replace(/^\//, "").replace(/\/+$/, "");
  return trimmed === "" ? "" : `/${trimmed}`;
}
