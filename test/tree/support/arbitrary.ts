import fc from "fast-check";
import type { ByteString } from "../../../src/bytes.ts";
import {
  type Content,
  type Directory,
  directory,
  leaf,
  type Node,
  type Stat,
} from "../../../src/tree/model.ts";
import type { ObjectId } from "../../../src/verity/digest.ts";

function byteStrings(minLength: number, maxLength: number): fc.Arbitrary<ByteString> {
  const byte = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...Buffer.from("abc-.=\\ \n\t\r\0")) },
    { weight: 1, arbitrary: fc.nat(255) },
  );
  return fc.array(byte, { minLength, maxLength }).map((bytes) => String.fromCharCode(...bytes));
}

const withoutNul = (s: ByteString) => s.replaceAll("\0", "0");

const name = byteStrings(1, 12)
  .map((s) => withoutNul(s).replaceAll("/", "_"))
  .filter((s) => s !== "." && s !== "..");

const xattrName = fc.oneof(
  fc.constantFrom(
    "user.x",
    "security.selinux",
    "security.capability",
    "system.posix_acl_access",
    "trusted.x",
    "trusted.overlay.x",
    "trusted.overlay.redirect",
    "lustre.x",
    "odd",
  ),
  byteStrings(1, 8).map((s) => `user.${withoutNul(s)}`),
);

const stat: fc.Arbitrary<Stat> = fc.record({
  mode: fc.nat(0o7777),
  uid: fc.constantFrom(0, 1000, 65535, 65536, 4294967295),
  gid: fc.constantFrom(0, 1000, 65535, 65536, 4294967295),
  mtime: fc.oneof(
    fc.constantFrom(0n, 1n, -1n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)),
    fc.bigInt(0n, 2n ** 32n),
  ),
  mtimeNsec: fc.constantFrom(0, 0, 1, 999_999_999),
  xattrs: fc
    .array(fc.tuple(xattrName, fc.oneof(fc.constantFrom("", "v"), byteStrings(0, 40))), { maxLength: 4 })
    .map((pairs) => new Map(pairs)),
});

const id = fc.constantFrom("0", "7", "a", "f").map((digit) => digit.repeat(64) as ObjectId);
const size = fc.oneof(
  fc.constantFrom(1n, 4096n, 4097n, 2n ** 32n, 2n ** 43n, 2n ** 43n + 1n, 2n ** 53n),
  fc.bigInt(1n, 2n ** 48n),
);

/** @param plain no file whose digest is not enforced: dumpfiles don't tell them from others. */
function contents(plain: boolean): fc.Arbitrary<Content> {
  const all: fc.Arbitrary<Content>[] = [
    byteStrings(0, 80).map((data) => ({ type: "inline", data })),
    fc.tuple(id, size).map(([id, size]) => ({ type: "external", id, size })),
    size.map((size) => ({ type: "sparse", size })),
    byteStrings(1, 100).map((target) => ({ type: "symlink", target: withoutNul(target) })),
    fc.nat(0xffff).map((rdev) => ({ type: "char", rdev: BigInt(rdev) })),
    fc.constant({ type: "char", rdev: 0n }),
    fc.nat(0xffff).map((rdev) => ({ type: "block", rdev: BigInt(rdev) })),
    fc.constant({ type: "fifo" }),
    fc.constant({ type: "socket" }),
  ];
  if (!plain) all.push(fc.tuple(id, size).map(([id, size]) => ({ type: "external-no-verity", id, size })));
  return fc.oneof(...all);
}

/** Trees with all kinds of files, odd names, hard links and directories of several blocks. */
export function trees(options: { plain?: boolean } = {}): fc.Arbitrary<Directory> {
  const file = fc.tuple(stat, contents(options.plain ?? false)).map(([s, c]) => leaf(s, c));
  const { node } = fc.letrec<{ node: Node }>((tie) => ({
    node: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      file,
      fc
        .tuple(stat, fc.array(fc.tuple(name, tie("node")), { maxLength: 8 }))
        .map(([s, entries]) => withEntries(s, entries)),
    ),
  }));
  const long = fc.constantFrom(0, 0, 0, 90, 300);
  return fc
    .tuple(
      stat,
      fc.array(fc.tuple(name, node), { maxLength: 10 }),
      fc.array(fc.tuple(name, fc.nat()), { maxLength: 3 }),
      long,
    )
    .map(([s, entries, links, count]) => {
      const root = withEntries(s, entries);
      const files = [...root.entries.values()].filter(
        (n) => n.kind === "leaf" && !(n.content.type === "char" && n.content.rdev === 0n),
      );
      for (const [linkName, which] of links) {
        const target = files[which % Math.max(1, files.length)];
        if (target !== undefined && !root.entries.has(linkName)) root.entries.set(linkName, target);
      }
      for (let i = 0; i < count; i++)
        root.entries.set(`file-${i}`, leaf({ ...s, mode: i }, { type: "fifo" }));
      return root;
    });
}

function withEntries(s: Stat, entries: readonly (readonly [ByteString, Node])[]): Directory {
  const result = directory(s);
  for (const [entryName, child] of entries) result.entries.set(entryName, child);
  return result;
}

/** The same tree from other objects. */
export function copyOf(root: Directory): Directory {
  const leaves = new Map<Node, Node>();
  const copy = (from: Directory): Directory => {
    const to = directory({ ...from.stat });
    for (const [name, node] of from.entries) {
      if (node.kind === "leaf" && !leaves.has(node)) leaves.set(node, leaf({ ...node.stat }, node.content));
      to.entries.set(name, node.kind === "leaf" ? leaves.get(node)! : copy(node));
    }
    return to;
  };
  return copy(root);
}
