import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { fromText } from "../../src/bytes.ts";
import { S_IFDIR, S_IFREG } from "../../src/mode.ts";
import { type Checksum, computeChecksum } from "../../src/ostree/checksum.ts";
import { encodeArchiveHeader, encodeHashedHeader } from "../../src/ostree/file-header.ts";
import { writeGVariant } from "../../src/ostree/gvariant.ts";
import { encodeCommit, encodeDirMeta, encodeDirTree } from "../../src/ostree/objects.ts";

const NO_XATTRS = [] as const;

/** Makes repositories of mode archive in a directory that a server can publish. */
export class ArchiveMaker {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    this.write("config", Buffer.from("[core]\nrepo_version=1\nmode=archive-z2\n"));
  }

  write(name: string, bytes: Uint8Array): void {
    mkdirSync(dirname(join(this.path, name)), { recursive: true });
    writeFileSync(join(this.path, name), bytes);
  }

  object(checksum: Checksum, extension: string): string {
    return `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${extension}`;
  }

  /** @returns its checksum. */
  file(content: Uint8Array): Checksum {
    const header = { uid: 0, gid: 0, mode: S_IFREG | 0o644, target: fromText(""), xattrs: NO_XATTRS };
    const checksum = computeChecksum(Buffer.concat([encodeHashedHeader(header), content]));
    const stored = [encodeArchiveHeader(header, content.length), deflateRawSync(content, { level: 1 })];
    this.write(this.object(checksum, "filez"), Buffer.concat(stored));
    return checksum;
  }

  /** A commit of files in one directory, and a ref to it. */
  commit(ref: string, files: Readonly<Record<string, Uint8Array>>, parent?: Checksum): Checksum {
    const names = Object.keys(files).sort();
    const entries = names.map((name) => ({ name: fromText(name), file: this.file(files[name]!) }));
    const tree = this.#metadata("dirtree", encodeDirTree({ files: entries, directories: [] }));
    const meta = { uid: 0, gid: 0, mode: S_IFDIR | 0o755, xattrs: NO_XATTRS };
    const commit = this.#metadata(
      "commit",
      encodeCommit({
        metadata: [],
        parent,
        related: [],
        subject: "test",
        body: "",
        timestamp: 1_700_000_000n,
        rootTree: tree,
        rootMeta: this.#metadata("dirmeta", encodeDirMeta(meta)),
      }),
    );
    this.write(`refs/heads/${ref}`, Buffer.from(`${commit}\n`));
    return commit;
  }

  /** A summary with these refs and nothing else. */
  summary(refs: Readonly<Record<string, Checksum>>): Uint8Array {
    const entries = Object.entries(refs).sort(([a], [b]) => (a < b ? -1 : 1));
    const value = entries.map(([name, commit]) => [name, [0n, Buffer.from(commit, "hex"), []]]);
    const bytes = writeGVariant("(a(s(taya{sv}))a{sv})", [value, []] as never);
    this.write("summary", bytes);
    return bytes;
  }

  #metadata(extension: string, bytes: Uint8Array): Checksum {
    const checksum = computeChecksum(bytes);
    this.write(this.object(checksum, extension), bytes);
    return checksum;
  }
}
