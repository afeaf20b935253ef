import type { ByteString } from "../bytes.ts";
import { objectPath } from "../verity/digest.ts";
import { escapeForList } from "./dump.ts";
import type { Directory, Leaf } from "./model.ts";
import { sortedEntries } from "./walk.ts";

/**
 * One line for each entry of a tree but the root, in the order of a dumpfile: the path, and where there is one the object
 * (`@ xx/…`, at a file's first name only) or the target of a link (`-> …`) behind a tab. Directories end in `/` and a
 * tab.
 * @param names of the root's entries only those; all unless given.
 */
export function* listTree(root: Directory, names?: ReadonlySet<ByteString>): Generator<string> {
  const seen = new Set<Leaf>();
  const entries = sortedEntries(root).filter(([name]) => names === undefined || names.has(name));
  const stack = [{ prefix: "/", entries, next: 0 }];
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const entry = frame.entries[frame.next++];
    if (entry === undefined) {
      stack.pop();
      continue;
    }
    const [name, node] = entry;
    const path = frame.prefix + escapeForList(name);
    if (node.kind === "directory") {
      yield `${path}/\t\n`;
      stack.push({ prefix: `${path}/`, entries: sortedEntries(node), next: 0 });
      continue;
    }
    const { content } = node;
    if (content.type === "symlink") yield `${path}\t-> ${escapeForList(content.target)}\n`;
    else if (content.type === "external" && !seen.has(node)) yield `${path}\t@ ${objectPath(content.id)}\n`;
    else yield `${path}\n`;
    seen.add(node);
  }
}
