import type { ByteString } from "../bytes.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../mode.ts";
import { objectPath } from "../verity/digest.ts";
import type { Directory, Leaf, Node, Stat, Xattrs } from "./model.ts";
import { countLinks, directoryLinks, type LinkCounts, sortedEntries } from "./walk.ts";

/** Text is handed out in pieces of about this many characters. */
const CHUNK = 1 << 16;

/**
 * The dumpfile (composefs-dump(5)) of a tree, in pieces of ASCII text: depth first, in the order of name bytes. Hard
 * links after a file's first name are `@` lines.
 */
export function dumpTree(root: Directory): Generator<string> {
  return dumpNode(root, "/", countLinks(root));
}

/**
 * The same for a node and all below it.
 * @param path as it is to stand in the first line; names below are put behind it, with a slash unless it ends in one.
 * @param links of the whole tree.
 */
export function* dumpNode(node: Node, path: ByteString, links: LinkCounts): Generator<string> {
  const firstNames = new Map<Leaf, string>();
  if (node.kind === "leaf") {
    yield leafLine(node, escapeField(path), links, firstNames);
    return;
  }
  let text = directoryLine(node, escapeField(path));
  const stack = [
    { prefix: escapeBytes(path.endsWith("/") ? path : `${path}/`), entries: sortedEntries(node), next: 0 },
  ];
  while (stack.length > 0) {
    const frame = stack.at(-1)!;
    if (frame.next === frame.entries.length) {
      stack.pop();
      continue;
    }
    const [name, child] = frame.entries[frame.next++]!;
    const childPath = frame.prefix + escapeBytes(name);
    if (child.kind === "leaf") {
      text += leafLine(child, childPath, links, firstNames);
    } else {
      text += directoryLine(child, childPath);
      stack.push({ prefix: `${childPath}/`, entries: sortedEntries(child), next: 0 });
    }
    if (text.length >= CHUNK) {
      yield text;
      text = "";
    }
  }
  yield text;
}

/** The line of a node on its own, with one link, whatever is below it. @param path as it is to stand in the line. */
export function dumpLine(node: Node, path: ByteString): string {
  return node.kind === "leaf"
    ? leafLine(node, escapeField(path), NO_LINKS, new Map())
    : line(escapeField(path), "0", S_IFDIR, 1, "0", node.stat, "- - -");
}

const NO_LINKS: LinkCounts = new Map();

function directoryLine(node: Directory, path: string): string {
  return line(path, "0", S_IFDIR, directoryLinks(node), "0", node.stat, "- - -");
}

function leafLine(leaf: Leaf, path: string, links: LinkCounts, firstNames: Map<Leaf, string>): string {
  const nlink = links.get(leaf) ?? 1;
  if (nlink > 1) {
    const first = firstNames.get(leaf);
    if (first !== undefined) return `${path} 0 @120000 - - - - 0.0 ${first} - -\n`;
    firstNames.set(leaf, path);
  }
  const { content, stat } = leaf;
  switch (content.type) {
    case "inline": {
      const data = escapeField(content.data);
      return line(path, String(content.data.length), S_IFREG, nlink, "0", stat, `- ${data} -`);
    }
    case "external":
    case "external-no-verity": {
      const data = `${objectPath(content.id)} - ${content.id}`;
      return line(path, String(content.size), S_IFREG, nlink, "0", stat, data);
    }
    case "backed": {
      const data = `${escapeField(content.path)} - ${content.id ?? "-"}`;
      return line(path, String(content.size), S_IFREG, nlink, "0", stat, data);
    }
    case "sparse":
      return line(path, String(content.size), S_IFREG, nlink, "0", stat, "- - -");
    case "symlink": {
      const { target } = content;
      return line(path, String(target.length), S_IFLNK, nlink, "0", stat, `${escapeField(target)} - -`);
    }
    case "char":
      return line(path, "0", S_IFCHR, nlink, String(content.rdev), stat, "- - -");
    case "block":
      return line(path, "0", S_IFBLK, nlink, String(content.rdev), stat, "- - -");
    case "fifo":
      return line(path, "0", S_IFIFO, nlink, "0", stat, "- - -");
    case "socket":
      return line(path, "0", S_IFSOCK, nlink, "0", stat, "- - -");
  }
}

function line(
  path: string,
  size: string,
  type: number,
  nlink: number,
  rdev: string,
  stat: Stat,
  data: string,
): string {
  const mode = (type | stat.mode).toString(8);
  const time = `${stat.mtime}.${stat.mtimeNsec}`;
  const xattrs = stat.xattrs.size === 0 ? "" : xattrFields(stat.xattrs);
  return `${path} ${size} ${mode} ${nlink} ${stat.uid} ${stat.gid} ${rdev} ${time} ${data}${xattrs}\n`;
}

function xattrFields(xattrs: Xattrs): string {
  let text = "";
  for (const name of Array.from(xattrs.keys()).sort()) {
    text += ` ${escapeXattr(name)}=${escapeXattr(xattrs.get(name)!)}`;
  }
  return text;
}

/** A whole field, where nothing and a lone dash need a form of their own. */
export function escapeField(bytes: ByteString): string {
  if (bytes === "") return "-";
  return bytes === "-" ? "\\x2d" : escapeBytes(bytes);
}

/** For people: as in a dumpfile, but spaces stay. */
export function escapeForList(bytes: ByteString): string {
  return bytes.replace(/[^ -[\]-~]/g, escapeCharacter);
}

/** All but printable ASCII without the backslash is escaped. */
export function escapeBytes(bytes: ByteString): string {
  return /^[!-[\]-~]*$/.test(bytes) ? bytes : bytes.replace(/[^!-[\]-~]/g, escapeCharacter);
}

/** Of a name or value of an extended attribute, where `=` is escaped too. */
export function escapeXattr(bytes: ByteString): string {
  return /^[!-<>-[\]-~]*$/.test(bytes) ? bytes : bytes.replace(/[^!-<>-[\]-~]/g, escapeCharacter);
}

function escapeCharacter(c: string): string {
  switch (c) {
    case "\\":
      return "\\\\";
    case "\n":
      return "\\n";
    case "\r":
      return "\\r";
    case "\t":
      return "\\t";
    default:
      return `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`;
  }
}
