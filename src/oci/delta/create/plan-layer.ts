import { type ByteString, bytesOf } from "../../../bytes.ts";
import { CfsError } from "../../../errors.ts";
import type { Repository } from "../../../repository/repository.ts";
import { openStream } from "../../../repository/streams.ts";
import { CONTENT_LAYER } from "../../../splitstream/format.ts";
import type { OciDigest } from "../../digest.ts";
import { layerEntries } from "../../stored-layer.ts";
import { layerStream } from "../../streams.ts";
import { OperationWriter } from "../operation-writer.ts";
import { type Body, MAX_BODY } from "./match-bodies.ts";
import type { ObjectReader } from "./object-reader.ts";
import type { ReusableFiles } from "./reusable-files.ts";
import { type Extent, ExtentList, type SharedSpool } from "./shared-spool.ts";

/** The operations of a layer in order: some in the spool, others still to be found for a body, whose number this is. */
export type LayerPart = Extent | number;

/** Naming a file costs so many bytes more than its name. */
const OPEN_COST = 8;

/**
 * Walks through a layer of the target. What is no file's body is data, bodies that the source image has are copied;
 * the other bodies are to be matched.
 * @param bodies those found are added.
 */
export function planLayer(
  repository: Repository,
  diffId: OciDigest,
  sources: ReusableFiles,
  reader: ObjectReader,
  spool: SharedSpool,
  bodies: Body[],
): LayerPart[] {
  const parts: LayerPart[] = [];
  let written = new ExtentList(spool);
  const writer = new OperationWriter((piece) => written.append(piece));
  const inline = new InlineData((piece) => writer.data(piece));
  const settle = () => {
    inline.flush();
    writer.flush();
    parts.push(...written.extents);
    written = new ExtentList(spool);
  };
  using stream = openStream(repository, layerStream(diffId));
  stream.reader.expectContentType(CONTENT_LAYER);
  const files = bodiesOf(layerEntries(stream));
  for (const chunk of stream.reader.chunks()) {
    if ("inline" in chunk) {
      inline.add(chunk.inline);
      continue;
    }
    const next = files.next();
    if (next.done === true) throw new CfsError("Corrupt", `layer ${diffId} has more objects than files`);
    const { path, size } = next.value;
    const same = sources.findSame(chunk.object, path);
    if (size <= (same?.path ?? path).length + OPEN_COST) {
      const bytes = new Uint8Array(size);
      reader.read(chunk.object, 0, bytes);
      inline.add(bytes);
    } else if (same !== undefined) {
      inline.flush();
      writer.open(bytesOf(same.path));
      writer.copy(0, size);
    } else {
      settle();
      const similar = sources.findSimilar(path, size);
      for (let offset = 0; offset < size; offset += MAX_BODY) {
        parts.push(bodies.length);
        bodies.push({ id: chunk.object, offset, length: Math.min(MAX_BODY, size - offset), similar });
      }
    }
  }
  settle();
  return parts;
}

function* bodiesOf(entries: ReturnType<typeof layerEntries>): Generator<{ path: ByteString; size: number }> {
  for (const { entry, content } of entries)
    if (content?.type === "object") yield { path: entry.path, size: content.size };
}

const INLINE_SIZE = 256 * 1024;

/** Gathers what comes in small pieces. */
class InlineData {
  readonly #sink: (piece: Uint8Array) => void;
  readonly #buffer = new Uint8Array(INLINE_SIZE);
  #filled = 0;

  constructor(sink: (piece: Uint8Array) => void) {
    this.#sink = sink;
  }

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const piece = bytes.subarray(at, at + INLINE_SIZE - this.#filled);
      this.#buffer.set(piece, this.#filled);
      this.#filled += piece.length;
      at += piece.length;
      if (this.#filled === INLINE_SIZE) this.flush();
    }
  }

  flush(): void {
    this.#sink(this.#buffer.subarray(0, this.#filled));
    this.#filled = 0;
  }
}
