import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CfsError } from "../../src/errors.ts";
import type { Checksum } from "../../src/ostree/checksum.ts";
import { deltaDirectory } from "../../src/ostree/delta/names.ts";
import { parseArchiveHeader } from "../../src/ostree/file-header.ts";
import { checkCommits } from "../../src/ostree/fsck.ts";
import { type Value, writeGVariant } from "../../src/ostree/gvariant.ts";
import { LocalRepository } from "../../src/ostree/local/repository.ts";
import { parseCommit, parseDirMeta, parseDirTree, swap32 } from "../../src/ostree/objects.ts";
import { pullCommit } from "../../src/ostree/pull/pull.ts";
import { pullFromRemote } from "../../src/ostree/remote/pull-remote.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { openUrl } from "./remote-support.ts";
import { serveFiles } from "./static-server.ts";
import { fixtureJson, newRepository, unpackRepository } from "./support.ts";

/** What the damaged repositories of `bad-repositories.test.ts` have no case for. */

const id = (size: number) => new Uint8Array(size).fill(7);
const tree = (files: Value, directories: Value = []) =>
  parseDirTree(writeGVariant("(a(say)a(sayay))", [files, directories]));
const commit = (parent: Uint8Array, rootTree: Uint8Array, rootMeta: Uint8Array) =>
  parseCommit(
    writeGVariant("(a{sv}aya(say)sstayay)", [[], parent, [], "subject", "", 0n, rootTree, rootMeta]),
  );
const pairs = (names: readonly string[]) => names.map((name) => [Buffer.from(name), Buffer.from("value")]);
const dirmeta = (mode: number, names: readonly string[] = []) =>
  parseDirMeta(writeGVariant("(uuua(ayay))", [0, 0, swap32(mode), pairs(names)]));

/** @param size of the content as the header says. */
function header(mode: number, rdev: number, target: string, names: readonly string[] = [], size = 0n) {
  const variant = writeGVariant("(tuuuusa(ayay))", [
    size,
    0,
    0,
    swap32(mode),
    swap32(rdev),
    target,
    pairs(names),
  ]);
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32BE(variant.length);
  return parseArchiveHeader(new Uint8Array(Buffer.concat([prefix, variant])));
}

describe("refused", () => {
  test.each<readonly [what: string, read: () => unknown]>([
    ["a name of 256 bytes", () => tree([["n".repeat(256), id(32)]])],
    ["a name of 256 bytes in UTF-8", () => tree([["é".repeat(128), id(32)]])],
    ["a directory with a name of 256 bytes", () => tree([], [["n".repeat(256), id(32), id(32)]])],
    ["an empty name of a directory", () => tree([], [["", id(32), id(32)]])],
    ["a file '.'", () => tree([[".", id(32)]])],
    ["a directory '.'", () => tree([], [[".", id(32), id(32)]])],
    ["a directory '..'", () => tree([], [["..", id(32), id(32)]])],
    ["a directory 'a/b'", () => tree([], [["a/b", id(32), id(32)]])],
    [
      "a directory twice",
      () =>
        tree(
          [],
          [1, 2].map(() => ["a", id(32), id(32)]),
        ),
    ],
    ["a file's id of 31 bytes", () => tree([["a", id(31)]])],
    ["a file's id of 33 bytes", () => tree([["a", id(33)]])],
    ["a dirtree's id of 33 bytes", () => tree([], [["a", id(33), id(32)]])],
    ["a dirtree's id of 31 bytes", () => tree([], [["a", id(31), id(32)]])],
    ["a dirmeta's id of 33 bytes", () => tree([], [["a", id(32), id(33)]])],
    ["a root's id of 31 bytes", () => commit(id(0), id(31), id(32))],
    ["a root's id of 33 bytes", () => commit(id(0), id(33), id(32))],
    ["a root dirmeta's id of 33 bytes", () => commit(id(0), id(32), id(33))],
    ["a parent's id of 33 bytes", () => commit(id(33), id(32), id(32))],
    ["a dirmeta that is none of a directory", () => dirmeta(0o100755)],
    ["a dirmeta without a type", () => dirmeta(0o755)],
    ["a dirmeta with bits above 0177777", () => dirmeta(0o240755)],
    ["a dirmeta with xattrs out of order", () => dirmeta(0o40755, ["user.b\0", "user.a\0"])],
    ["a dirmeta with an xattr twice", () => dirmeta(0o40755, ["user.a\0", "user.a\0"])],
    ["a file that is a directory", () => header(0o40755, 0, "")],
    ["a file of mode 0", () => header(0, 0, "")],
    ["a file with bits above 0177777", () => header(0o300644, 0, "")],
    ["a device", () => header(0o20644, 0x103, "")],
    ["a file with a device number", () => header(0o100644, 0x103, "")],
    ["a symbolic link with content", () => header(0o120777, 0, "target", [], 5n)],
    ["a file with xattrs out of order", () => header(0o100644, 0, "", ["user.b\0", "user.a\0"])],
    ["a file with an xattr twice", () => header(0o100644, 0, "", ["user.a\0", "user.a\0"])],
  ])("%s", (_, read) => {
    expect(read).toThrow(CfsError);
  });
});

describe("accepted", () => {
  test.each<readonly [what: string, read: () => unknown]>([
    ["a name of 255 bytes", () => tree([["n".repeat(255), id(32)]])],
    ["names out of order", () => tree(["b", "a"].map((name) => [name, id(32)]))],
    ["a dirtree of no bytes", () => parseDirTree(new Uint8Array(0))],
    ["a dirtree of one byte 0", () => parseDirTree(new Uint8Array(1))],
    ["a commit without a parent", () => commit(id(0), id(32), id(32))],
    ["a symbolic link without a target", () => header(0o120777, 0, "")],
    ["names of xattrs without NUL", () => header(0o100644, 0, "", ["user.a", "user.b"])],
  ])("%s", (_, read) => {
    expect(read).not.toThrow();
  });
});

describe("a static delta", () => {
  const { commits } = fixtureJson<{ commits: { archive: Readonly<Record<"c1" | "c2", Checksum>> } }>(
    "expected.json",
  );
  const { c1, c2 } = commits.archive;
  const superblock = (archive: string, from: Checksum | undefined, to: Checksum) =>
    join(archive, deltaDirectory(from, to), "superblock");

  /** Pulls the second commit where the first is, or the first where none is: the deltas that the archive has. */
  async function pullWithDeltas(archive: string, commit: Checksum, directory: TempDir) {
    using server = await serveFiles(archive);
    await using remote = await openUrl(server.url);
    using repository = newRepository(directory.join("repo"), "sha256");
    const messages: string[] = [];
    const progress = {
      event: (event: { type: string; text?: string }) => {
        if (event.type === "message") messages.push(event.text ?? "");
      },
    };
    const options = { jobs: 1, progress };
    if (commit === c2) await pullCommit(repository, remote, c1, { jobs: 1 });
    const report = await pullFromRemote(repository, remote, remote, commit, options);
    expect((await checkCommits(repository)).faults).toEqual([]);
    return { deltaParts: report.deltaParts, messages: messages.join("\n") };
  }

  test("that is not the one that the summary names", async () => {
    using directory = tempDir();
    const archive = unpackRepository("archive", directory.path);
    const path = superblock(archive, undefined, c1);
    const bytes = readFileSync(path);
    // Of the time at which it was made.
    const at = bytes.indexOf(Buffer.from(c1, "hex")) - 1;
    bytes[at]! ^= 1;
    writeFileSync(path, bytes);
    const { deltaParts, messages } = await pullWithDeltas(archive, c1, directory);
    expect(deltaParts).toBeUndefined();
    expect(messages).toMatch(/static delta to [0-9a-f]{64} has the checksum .*; fetching objects/);
  });

  test("that is one to another commit than the one that is asked for", async () => {
    using directory = tempDir();
    const archive = unpackRepository("archive", directory.path);
    const other = readFileSync(superblock(archive, undefined, c1));
    const path = superblock(archive, c1, c2);
    const summary = readFileSync(join(archive, "summary"));
    const digest = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest();
    const at = summary.indexOf(digest(readFileSync(path)));
    expect(at).toBeGreaterThan(0);
    summary.set(digest(other), at);
    writeFileSync(join(archive, "summary"), summary);
    writeFileSync(path, other);
    const { deltaParts, messages } = await pullWithDeltas(archive, c2, directory);
    expect(deltaParts).toBeUndefined();
    expect(messages).toContain(`the static delta to ${c2} is one to ${c1}; fetching objects`);
  });
});

test("metadata that is larger than ostree allows is not read", async () => {
  using directory = tempDir();
  const archive = unpackRepository("archive", directory.path);
  await using source = LocalRepository.open(archive);
  using repository = newRepository(directory.join("repo"), "sha256");
  const [prefix] = readdirSync(join(archive, "objects")).filter((name) =>
    readdirSync(join(archive, "objects", name)).some((file) => file.endsWith(".dirmeta")),
  );
  const folder = join(archive, "objects", prefix!);
  const name = readdirSync(folder).find((file) => file.endsWith(".dirmeta"))!;
  truncateSync(join(folder, name), 200 * 1024 * 1024);
  const before = process.memoryUsage().rss;
  await expect(pullCommit(repository, source, await source.resolveRef("test/main"))).rejects.toThrow(
    /dirmeta [0-9a-f]{64}/,
  );
  expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
});
