import type { ByteString } from "../bytes.ts";
import { INLINE_LIMIT, NO_XATTRS } from "../tree/model.ts";
import { emptyEntry, isExternal, type SparseFile, type TarEntry } from "./entry.ts";
import {
  BLOCK,
  checkDeviceFields,
  gidOf,
  type HeaderFormat,
  headerFormat,
  invalidTar,
  linkNameOf,
  modeOf,
  mtimeOf,
  nameOf,
  rdevOf,
  sizeOf,
  TarWindow,
  typeflagOf,
  typeOf,
  uidOf,
  verifyChecksum,
} from "./header.ts";
import { type PaxOverrides, parsePax, paxSparseFile } from "./pax.ts";
import { gnuRealSize, gnuRuns, MAX_SPARSE_RUNS, sparseFile } from "./sparse.ts";

/** Data of the extension headers of one entry, together. */
const MAX_METADATA = 1024 * 1024;
const MAX_SPARSE_BLOCKS = Math.ceil(MAX_SPARSE_RUNS / 21);

/** What the next bytes of an archive are. All lengths in bytes; one object per kind is used again and again. */
export type TarStep =
  /** At least `need` bytes are needed to decide, at most about 1 MiB. Not returned when `atEof` is set. */
  | { readonly kind: "more"; readonly need: number }
  /** Bytes that belong to no entry, or that are skipped; may be more than the window holds. */
  | { readonly kind: "inline"; readonly length: number }
  /**
   * An entry: `headerLength` bytes of headers (all since the last step), `size` bytes of body, `padding`. When the
   * body is to be kept inline and belongs to a regular file, body and padding are in the window.
   */
  | {
      readonly kind: "entry";
      readonly headerLength: number;
      /** Valid until the next step. */
      readonly entry: TarEntry;
      readonly size: number;
      readonly padding: number;
      /** The body is an object of its own: a regular file of more than 64 bytes. */
      readonly external: boolean;
    }
  /** The end of the archive; whatever follows is kept as it is and never looked at. */
  | { readonly kind: "end" };

/** The stream ends inside a body. */
export function endInsideBody(): Error {
  return invalidTar("unexpected EOF reading tar entry");
}

/** The stream ends inside the padding after the body of an external file. */
export function endInsidePadding(): Error {
  return invalidTar("unexpected EOF reading tar padding");
}

function endInsideHeaders(): Error {
  return invalidTar("unexpected EOF in tar stream");
}

/**
 * Finds the entries of a tar archive, in place: it is shown the next bytes of the archive and says what they are;
 * the caller moves on and is responsible for bodies (`endInsideBody` when they are cut short).
 * Memory in use depends on the extension headers of one entry only, never on the sizes that headers claim.
 */
export class TarParser {
  readonly #more = { kind: "more" as const, need: 0 };
  readonly #inline = { kind: "inline" as const, length: 0 };
  readonly #entryStep = {
    kind: "entry" as const,
    headerLength: 0,
    entry: emptyEntry(),
    size: 0,
    padding: 0,
    external: false,
  };
  readonly #end = { kind: "end" as const };
  #window: TarWindow = new TarWindow(new Uint8Array(0));

  // What extension headers have said about the entry to come.
  #hasExtensions = false;
  #longName: ByteString | undefined;
  #longLink: ByteString | undefined;
  #pax: PaxOverrides | undefined;
  #metadataSize = 0;

  /**
   * Looks at bytes [start, end) of `bytes`, which may be shared memory. Fastest when the same array comes again and
   * headers lie at multiples of four in its buffer.
   * @param atEof nothing follows after `end`.
   * @throws CfsError Invalid
   */
  step(bytes: Uint8Array<ArrayBufferLike>, start: number, end: number, atEof: boolean): TarStep {
    if (this.#window.bytes !== bytes) this.#window = new TarWindow(bytes);
    const window = this.#window;
    let at = start;
    for (;;) {
      if (end - at < BLOCK) return this.#wait(start, at, BLOCK, end, atEof);
      const sum = window.sum(at);
      if (sum === 0) {
        if (at > start) return this.#inlineStep(at - start);
        if (end - at < 2 * BLOCK) return this.#wait(start, at, 2 * BLOCK, end, atEof);
        if (window.sum(at + BLOCK) !== 0) return this.#inlineStep(BLOCK);
        if (this.#hasExtensions) throw invalidTar("metadata entries without a following actual entry");
        return this.#end;
      }
      verifyChecksum(window, at, sum);
      const format = headerFormat(bytes, at);
      const typeflag = typeflagOf(bytes, at);
      if (!isExtension(typeflag, format)) return this.#entry(start, at, end, atEof, format, typeflag);

      const size = sizeOf(bytes, at);
      const total = (typeflag === GLOBAL ? 0 : this.#metadataSize) + size;
      if (total > MAX_METADATA)
        throw invalidTar(`metadata exceeds limit: ${total} bytes > ${MAX_METADATA} bytes`);
      const length = BLOCK + size + paddingOf(size);
      if (end - at < length) return this.#wait(start, at, length, end, atEof);
      this.#extension(typeflag, at + BLOCK, size);
      at += length;
    }
  }

  /** Asks for more, or reports the complete headers before `at` so that they need not stay in the window. */
  #wait(start: number, at: number, need: number, end: number, atEof: boolean): TarStep {
    if (atEof) {
      if (at < end || this.#hasExtensions) throw endInsideHeaders();
      return at > start ? this.#inlineStep(at - start) : this.#end;
    }
    if (at > start) return this.#inlineStep(at - start);
    this.#more.need = need;
    return this.#more;
  }

  #inlineStep(length: number): TarStep {
    this.#inline.length = length;
    return this.#inline;
  }

  #extension(typeflag: number, data: number, size: number): void {
    if (typeflag === GLOBAL) return;
    this.#hasExtensions = true;
    this.#metadataSize += size;
    if (typeflag === PAX) {
      if (this.#pax !== undefined) throw invalidTar("duplicate PAX extended header");
      this.#pax = parsePax(this.#window, data, data + size);
    } else if (typeflag === LONG_NAME) {
      if (this.#longName !== undefined) throw invalidTar("duplicate GNU long name entry");
      this.#longName = this.#longText(data, size);
    } else {
      if (this.#longLink !== undefined) throw invalidTar("duplicate GNU long link entry");
      this.#longLink = this.#longText(data, size);
    }
  }

  #longText(data: number, size: number): ByteString {
    const end = data + size;
    return this.#window.text(data, size > 0 && this.#window.bytes[end - 1] === 0 ? end - 1 : end);
  }

  #entry(
    start: number,
    at: number,
    end: number,
    atEof: boolean,
    format: HeaderFormat,
    typeflag: number,
  ): TarStep {
    const window = this.#window;
    const { bytes } = window;
    const isGnuSparse = typeflag === GNU_SPARSE && format !== "v7";
    let extensionBlocks = 0;
    if (isGnuSparse && bytes[at + 482] !== 0) {
      do {
        if (++extensionBlocks > MAX_SPARSE_BLOCKS) throw invalidTar("sparse map has too many entries");
        const length = BLOCK * (1 + extensionBlocks);
        if (end - at < length) return this.#wait(start, at, length, end, atEof);
      } while (bytes[at + extensionBlocks * BLOCK + 504] !== 0);
    }
    const headerEnd = at + BLOCK * (1 + extensionBlocks);

    const { entry } = this.#entryStep;
    const pax = this.#pax;
    const size = pax?.size ?? sizeOf(bytes, at);
    const padding = paddingOf(size);
    entry.typeflag = typeflag;
    entry.type = isGnuSparse ? "file" : typeOf(typeflag);
    entry.size = size;
    const external = isExternal(entry);
    if (entry.type === "file" && size <= INLINE_LIMIT) {
      if (end - headerEnd < size + padding) {
        if (atEof) throw endInsideBody();
        return this.#wait(start, at, headerEnd - at + size + padding, end, atEof);
      }
    } else if (atEof && end - headerEnd < size + padding) {
      throw external && end - headerEnd >= size ? endInsidePadding() : endInsideBody();
    }

    entry.mode = modeOf(bytes, at);
    entry.uid = uidOf(bytes, at);
    entry.gid = gidOf(bytes, at);
    entry.mtime = mtimeOf(bytes, at);
    entry.mtimeNsec = 0;
    entry.rdev = undefined;
    if (format !== "v7") {
      if (entry.type === "char" || entry.type === "block") entry.rdev = rdevOf(bytes, at);
      else checkDeviceFields(bytes, at);
    }
    entry.xattrs = NO_XATTRS;
    entry.sparse = isGnuSparse
      ? sparseFile(gnuRealSize(bytes, at), gnuRuns(bytes, at, extensionBlocks), size)
      : undefined;
    if (this.#hasExtensions) this.#applyExtensions(at, format);
    else {
      entry.path = nameOf(window, at, format);
      entry.linkName = linkNameOf(window, at);
    }
    if (entry.path === "") throw invalidTar("entry has empty path");

    const step = this.#entryStep;
    step.headerLength = headerEnd - start;
    step.size = size;
    step.padding = padding;
    step.external = external;
    return step;
  }

  #applyExtensions(at: number, format: HeaderFormat): void {
    const { entry } = this.#entryStep;
    const pax = this.#pax;
    entry.path = pax?.sparse?.name ?? pax?.path ?? this.#longName ?? nameOf(this.#window, at, format);
    entry.linkName = pax?.linkPath ?? this.#longLink ?? linkNameOf(this.#window, at);
    if (pax !== undefined) {
      entry.uid = pax.uid ?? entry.uid;
      entry.gid = pax.gid ?? entry.gid;
      entry.mtime = pax.mtime ?? entry.mtime;
      entry.mtimeNsec = pax.mtimeNsec ?? 0;
      entry.xattrs = pax.xattrs ?? NO_XATTRS;
      if (pax.sparse !== undefined && entry.type === "file") entry.sparse = this.#paxSparse(pax.sparse);
    }
    this.#hasExtensions = false;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#pax = undefined;
    this.#metadataSize = 0;
  }

  #paxSparse(sparse: NonNullable<PaxOverrides["sparse"]>): SparseFile | undefined {
    return paxSparseFile(sparse, this.#entryStep.entry.size);
  }
}

const GLOBAL = 0x67; // "g"
const PAX = 0x78; // "x"
const LONG_NAME = 0x4c; // "L"
const LONG_LINK = 0x4b; // "K"
const GNU_SPARSE = 0x53; // "S"

/** Global headers are recognised everywhere, the others only where the format knows them. */
function isExtension(typeflag: number, format: HeaderFormat): boolean {
  if (typeflag === GLOBAL) return true;
  return (typeflag === PAX || typeflag === LONG_NAME || typeflag === LONG_LINK) && format !== "v7";
}

function paddingOf(size: number): number {
  const over = size % BLOCK;
  return over === 0 || size === Number.MAX_SAFE_INTEGER ? 0 : BLOCK - over;
}
