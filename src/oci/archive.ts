import { fromText } from "../bytes.ts";
import { type Compression, decompressor } from "../compress/sync.ts";
import { CfsError, withContext } from "../errors.ts";
import { openTemporary } from "../repository/temporary.ts";
import { Fd } from "../sys/fd.ts";
import { O_NONBLOCK, O_RDONLY, open, pread, pwriteAll } from "../sys/file.ts";
import { fstat, isRegular } from "../sys/stat.ts";
import { endInsideBody, TarParser } from "../tar/parser.ts";
import type { LayoutFiles } from "./layout.ts";
import type { BlobReader } from "./source.ts";

/** Members beyond this number are refused: an archive has a few for each layer of each image. */
const MAX_MEMBERS = 1_000_000;
/** A compressed archive may not grow beyond this. */
const MAX_PLAIN_SIZE = 256 * 1024 ** 3;
const WINDOW = 2 * 1024 * 1024;
/** Headers are small; bodies are skipped, not read. */
const HEADER_READ = 64 * 1024;

interface Member {
  readonly offset: number;
  readonly size: number;
}

/**
 * A layout in a tar archive. A plain one is used in place; one that is compressed with gzip or zstd is decompressed
 * once into an unnamed file.
 */
export class LayoutArchive implements LayoutFiles {
  readonly label: string;
  readonly #file: Fd;
  readonly #members: ReadonlyMap<string, Member>;

  /** @param temporaryDirectory where the plain form of a compressed archive is kept: a descriptor. */
  constructor(path: string, temporaryDirectory: number) {
    this.label = `OCI archive ${path}`;
    // O_NONBLOCK: a FIFO in its place must not block.
    let file = open(path, O_RDONLY | O_NONBLOCK);
    try {
      if (!isRegular(fstat(file))) throw new CfsError("Invalid", `${path} is not a regular file`);
      const compression = compressionOf(file);
      if (compression !== "none") {
        const compressed = file;
        file = decompress(compressed, compression, temporaryDirectory);
        compressed.close();
      }
      this.#members = indexMembers(file);
    } catch (error) {
      file.close();
      throw withContext(this.label, error);
    }
    this.#file = file;
  }

  open(path: string): BlobReader {
    const member = this.#members.get(fromText(path));
    if (member === undefined) throw new CfsError("NotFound", `not found in archive: ${path}`);
    return { fd: this.#file.fd, ...member, [Symbol.dispose]: () => {} };
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

function compressionOf(file: Fd): Compression {
  const head = new Uint8Array(6);
  pread(file.fd, head, 0, file.path);
  const magic = Buffer.from(head).toString("hex");
  if (magic.startsWith("1f8b")) return "gzip";
  if (magic.startsWith("28b52ffd") || /^5.2a4d18/.test(magic)) return "zstd";
  for (const [name, start] of [
    ["xz", "fd377a585a00"],
    ["bzip2", "425a68"],
  ] as const) {
    if (magic.startsWith(start)) {
      throw new CfsError("Unsupported", `archives compressed with ${name} are not supported`, {
        hint: "decompress it first",
      });
    }
  }
  return "none";
}

function decompress(file: Fd, compression: Compression, directory: number): Fd {
  const plain = new Fd(openTemporary(directory), "temporary file for the decompressed archive");
  const decoder = decompressor(compression);
  try {
    const input = new Uint8Array(WINDOW / 4);
    const output = new Uint8Array(WINDOW);
    let from = 0;
    let to = 0;
    for (;;) {
      const length = pread(file.fd, input, from, file.path);
      from += length;
      for (let at = 0; ; ) {
        decoder.step(input, at, length, output, 0, WINDOW);
        at += decoder.consumed;
        const { produced } = decoder;
        if (to + produced > MAX_PLAIN_SIZE)
          throw new CfsError("Invalid", `it has more than ${MAX_PLAIN_SIZE} bytes when decompressed`);
        pwriteAll(plain.fd, output.subarray(0, produced), to, plain.path);
        to += produced;
        if (at === length && produced < WINDOW) break;
      }
      if (length < input.length) break;
    }
    decoder.finish();
    return plain;
  } catch (error) {
    decoder.close();
    plain.close();
    throw error;
  }
}

/** Regular files by path, without `.` components; the last one of a name counts. */
function indexMembers(file: Fd): Map<string, Member> {
  const members = new Map<string, Member>();
  const parser = new TarParser();
  const window = new Uint8Array(WINDOW);
  const { size: fileSize } = fstat(file);
  /** The window holds [base, base + end) of the file. */
  let base = 0;
  let end = 0;
  let at = 0;
  const load = (length: number) => {
    base += at;
    at = 0;
    end = pread(file.fd, window.subarray(0, Math.min(length, WINDOW)), base, file.path);
  };
  load(HEADER_READ);
  for (;;) {
    const step = parser.step(window, at, end, base + end >= fileSize);
    if (step.kind === "end") return members;
    let length: number;
    if (step.kind === "more") {
      load(Math.max(step.need, HEADER_READ));
      if (end < step.need && base + end < fileSize) throw endInsideBody();
      continue;
    }
    if (step.kind === "inline") length = step.length;
    else {
      const { entry } = step;
      if (entry.type === "file" && entry.sparse === undefined) {
        if (members.size >= MAX_MEMBERS) throw new CfsError("Invalid", "the archive has too many members");
        members.set(normalize(entry.path), { offset: base + at + step.headerLength, size: step.size });
      }
      length = step.headerLength + step.size + step.padding;
    }
    if (base + at + length > fileSize) throw endInsideBody();
    at += length;
    if (at >= end) load(HEADER_READ);
  }
}

function normalize(path: string): string {
  return path
    .split("/")
    .filter((component) => component !== "." && component !== "")
    .join("/");
}
