import type { ByteString } from "../../src/bytes.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_IFSOCK } from "../../src/mode.ts";
import type { Choices } from "../support/choices.ts";

/** One file as it was made up; hard links share it. */
export interface RandomFile {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly mtime: number;
  readonly mtimeNsec: number;
  readonly size: bigint;
  /** Target of a symbolic link, or where the data is. */
  readonly payload: ByteString;
  readonly content: ByteString;
  readonly digest: string;
  readonly xattrs: ReadonlyMap<ByteString, ByteString>;
  nlink: number;
}

export interface RandomTree {
  /** Parents before what is in them; the first one is `/`. */
  readonly files: ReadonlyMap<ByteString, RandomFile>;
  readonly dumpfile: string;
}

const TIMES = [0, 1, 1_700_000_000, 2 ** 31, 2 ** 32, 2 ** 40];
const IDS = [0, 0, 0, 1000, 65535, 65536, 4_294_967_294];
const SIZES = [1, 64, 65, 4096, 4097, 2 ** 20 + 1, 2 ** 32 - 1, 2 ** 32, 2 ** 43 + 1, 2 ** 45];
const INLINE = [0, 0, 1, 63, 64, 65, 500, 2047, 2048, 2049, 3000, 4095, 4096, 4097, 5000];
const TARGETS = [1, 2, 60, 1000, 3900, 4060, 4095];
const XATTRS = [
  "user.a",
  "user.long-name-of-an-attribute",
  "security.selinux",
  "security.capability",
  "trusted.x",
  "trusted.overlay.x",
  "trusted.overlay.redirect",
  "system.posix_acl_access",
  "system.posix_acl_default",
  "lustre.x",
  "odd",
];

/** The kernel asks for the ACL of every directory on the way: rwxr-x--- as acl(5) lists it. */
const ACL = "\x02\0\0\0\x01\0\x07\0\xff\xff\xff\xff\x04\0\x05\0\xff\xff\xff\xff\x20\0\0\0\xff\xff\xff\xff";

/** A tree with hard links, xattrs, whiteouts, devices, long and binary names, large directories, files of all kinds. */
export function randomTree(choices: Choices): RandomTree {
  return new Maker(choices).make();
}

class Maker {
  readonly #choices: Choices;
  readonly #files = new Map<ByteString, RandomFile>();
  /** In the order of lines; those with a name of an earlier line are hard links. */
  readonly #lines: { path: ByteString; file: RandomFile; first: ByteString | undefined }[] = [];
  readonly #times: number[];
  readonly #values: ByteString[];

  constructor(choices: Choices) {
    this.#choices = choices;
    this.#times = [choices.of(TIMES), choices.of(TIMES)];
    this.#values = [0, 3, 30, 300].map((size) => this.#bytes(size));
  }

  make(): RandomTree {
    const choices = this.#choices;
    this.#add("/", this.#file(S_IFDIR));
    const directories: ByteString[] = ["/"];
    const linkable: ByteString[] = [];
    for (let left = choices.of([0, 3, 10, 40, 300]); left > 0; left--) {
      const parent = choices.chance(0.5) ? directories.at(-1)! : choices.of(directories);
      const path = `${parent === "/" ? "" : parent}/${this.#name()}`;
      if (path.length > 1000 || this.#files.has(path)) continue;
      const kind = choices.below(100);
      if (kind < 20) {
        this.#add(path, this.#file(S_IFDIR));
        directories.push(path);
      } else if (kind < 32 && linkable.length > 0) {
        const first = choices.of(linkable);
        const file = this.#files.get(first)!;
        // composefs 1.0 and composefs-rs agree where an inode is only when its first name in order is the file
        if (file.nlink < 60 && sortKey(path) > sortKey(first)) {
          file.nlink++;
          this.#add(path, file, first);
        }
      } else {
        const file = this.#leaf();
        this.#add(path, file);
        if (!isWhiteout(file)) linkable.push(path);
      }
    }
    return { files: this.#files, dumpfile: this.#lines.map(lineOf).join("") };
  }

  #add(path: ByteString, file: RandomFile, first?: ByteString): void {
    this.#files.set(path, file);
    this.#lines.push({ path, file, first });
  }

  #leaf(): RandomFile {
    const choices = this.#choices;
    const kind = choices.below(100);
    if (kind < 10) {
      const target = this.#bytes(choices.of(TARGETS)).replaceAll("\0", "0");
      return this.#file(S_IFLNK, { payload: target, size: BigInt(target.length) });
    }
    if (kind < 16) return this.#file(S_IFCHR, { rdev: choices.of([1, 259, 0xffff_ffff]) });
    if (kind < 24) return this.#file(S_IFCHR, { rdev: 0 });
    if (kind < 28) return this.#file(S_IFBLK, { rdev: choices.below(70_000) });
    if (kind < 32) return this.#file(choices.of([S_IFIFO, S_IFSOCK]));
    if (kind < 55) {
      const content = this.#bytes(choices.of(INLINE));
      return this.#file(S_IFREG, { content, size: BigInt(content.length) });
    }
    const size = BigInt(choices.of(SIZES));
    if (kind < 60) return this.#file(S_IFREG, { size });
    const digest = choices
      .of("0123456789abcdef".split(""))
      .repeat(choices.chance(0.5) ? 64 : 1)
      .padEnd(64, "7");
    const payload = choices.chance(0.9)
      ? `${digest.slice(0, 2)}/${digest.slice(2)}`
      : unambiguous(`dir/${this.#name()}`);
    return this.#file(S_IFREG, { size, payload, digest: choices.chance(0.85) ? digest : "" });
  }

  #file(type: number, more: Partial<RandomFile> = {}): RandomFile {
    const choices = this.#choices;
    const xattrs = new Map<ByteString, ByteString>();
    if (choices.chance(0.4)) {
      for (let left = choices.of([1, 1, 2, 5, 20]); left > 0; left--) {
        const name = choices.chance(0.8) ? choices.of(XATTRS) : `user.${this.#name().slice(0, 40)}`;
        const value = choices.chance(0.7) ? choices.of(this.#values) : this.#bytes(choices.below(200));
        xattrs.set(name, name.startsWith("system.") ? ACL : value);
      }
    }
    return {
      mode: type | choices.below(0o10000),
      uid: choices.of(IDS),
      gid: choices.of(IDS),
      rdev: 0,
      mtime: choices.chance(0.8) ? choices.of(this.#times) : choices.of(TIMES),
      mtimeNsec: choices.of([0, 0, 0, 1, 999_999_999]),
      size: 0n,
      payload: "",
      content: "",
      digest: "",
      xattrs,
      nlink: 1,
      ...more,
    };
  }

  #name(): ByteString {
    const choices = this.#choices;
    const length = choices.of([1, 1, 2, 3, 8, 8, 8, 30, 100, 255]);
    const name = this.#bytes(length).replaceAll("\0", "0").replaceAll("/", "_");
    // two hexadecimal digits are names of the format's own whiteouts
    return /^(\.|\.\.|[0-9a-fA-F]{2})$/.test(name) ? `n${name}` : name;
  }

  #bytes(length: number): ByteString {
    const choices = this.#choices;
    const alphabet = choices.chance(0.7) ? "abcdef-. =\\" : undefined;
    let text = "";
    for (let i = 0; i < length; i++)
      text +=
        alphabet === undefined ? String.fromCharCode(choices.below(256)) : choices.of(alphabet.split(""));
    return text;
  }
}

/** composefs-info of composefs 1.0 reads over the end of a path that needs no padding behind it in the image. */
function unambiguous(path: ByteString): ByteString {
  return path.length % 4 === 3 ? `${path}x` : path;
}

/** Compares as the names of one directory after the other do. */
function sortKey(path: ByteString): string {
  return path.replaceAll("/", "\0");
}

export function isWhiteout({ mode, rdev }: RandomFile): boolean {
  return (mode & 0o170000) === S_IFCHR && rdev === 0;
}

function lineOf({
  path,
  file,
  first,
}: {
  path: ByteString;
  file: RandomFile;
  first: ByteString | undefined;
}) {
  const { mode, nlink, uid, gid, rdev, size, mtime, mtimeNsec, payload, content, digest, xattrs } = file;
  const stat = [nlink, uid, gid, rdev, `${mtime}.${mtimeNsec}`].join(" ");
  if (first !== undefined)
    return `${escaped(path)} ${size} @${mode.toString(8)} ${stat} ${escaped(first)} - -\n`;
  const pairs = [...xattrs].map(([name, value]) => ` ${escaped(name)}=${escaped(value)}`).join("");
  const fields = [payload, content, digest].map((text) => (text === "" ? "-" : escaped(text))).join(" ");
  return `${escaped(path)} ${size} ${mode.toString(8)} ${stat} ${fields}${pairs}\n`;
}

function escaped(bytes: ByteString): string {
  return bytes.replace(/[^0-9a-zA-Z/_.]|^-$/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
