import { CfsError, withContext } from "../errors.ts";
import { parseAlgorithmId } from "../repository/meta.ts";
import { checkContentId, refComponents } from "../repository/names.ts";
import { type Algorithm, type ObjectId, parseObjectId } from "../verity/digest.ts";

const VERSION = 1;

/** An object that is a stream or an image. */
export interface PublishedObject {
  readonly id: ObjectId;
  /** Bytes. */
  readonly size: number;
}

/** What a copy holds, as its `published.json` says. All names are text, and have the form that they must have. */
export interface PublishedIndex {
  readonly algorithm: Algorithm;
  /** By the name below `streams/`. */
  readonly streams: ReadonlyMap<string, PublishedObject>;
  readonly images: ReadonlyMap<ObjectId, PublishedObject>;
  /** Path below `streams/refs` → name of a stream. */
  readonly streamRefs: ReadonlyMap<string, string>;
  /** Path below `images/refs` → image. */
  readonly imageRefs: ReadonlyMap<string, ObjectId>;
}

/** An index of nothing. */
export function emptyIndex(algorithm: Algorithm): PublishedIndex {
  return { algorithm, streams: new Map(), images: new Map(), streamRefs: new Map(), imageRefs: new Map() };
}

/** The same index always gives the same text. */
export function formatIndex(index: PublishedIndex): string {
  const { algorithm, streams, images, streamRefs, imageRefs } = index;
  const json = {
    version: VERSION,
    algorithm: algorithm.id,
    streams: sorted(streams, ({ id, size }) => ({ object: id, size })),
    images: sorted(images, ({ size }) => ({ size })),
    stream_refs: sorted(streamRefs, (name) => name),
    image_refs: sorted(imageRefs, (id) => id),
  };
  return `${JSON.stringify(json, null, 1)}\n`;
}

function sorted<V>(map: ReadonlyMap<string, V>, convert: (value: V) => unknown): object {
  const entries = [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, value]) => [name, convert(value)]));
}

/**
 * Members that are not known are ignored.
 * @throws CfsError Corrupt; Unsupported for one of a later version
 */
export function parseIndex(bytes: Uint8Array): PublishedIndex {
  let root: Members;
  try {
    root = membersOf(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes)), "the index");
  } catch (error) {
    throw new CfsError("Corrupt", "the index is not valid JSON", { cause: error });
  }
  const version = root.get("version");
  if (version !== VERSION) {
    if (typeof version === "number" && version > VERSION)
      throw new CfsError("Unsupported", `the index has version ${version}, this tool knows ${VERSION}`, {
        hint: "use a newer version of this tool",
      });
    throw new CfsError("Corrupt", "the index has no version that is known");
  }
  const algorithm = parse(root, "algorithm", (value) => parseAlgorithmId(text(value)));
  const objectId = (value: unknown) => parseObjectId(text(value), algorithm);
  const streams = table(root, "streams", (name, value) => {
    checkContentId(name);
    const members = membersOf(value, "the stream");
    return [name, { id: objectId(members.get("object")), size: sizeOf(members) }];
  });
  const images = table(root, "images", (name, value) => {
    const id = objectId(name);
    return [id, { id, size: sizeOf(membersOf(value, "the image")) }];
  });
  const streamRefs = table(root, "stream_refs", (name, value) => {
    refComponents(name);
    const stream = text(value);
    if (!streams.has(stream)) throw new CfsError("Corrupt", "it points to a stream that is not listed");
    return [name, stream];
  });
  const imageRefs = table(root, "image_refs", (name, value) => {
    refComponents(name);
    const image = objectId(value);
    if (!images.has(image)) throw new CfsError("Corrupt", "it points to an image that is not listed");
    return [name, image];
  });
  return { algorithm, streams, images, streamRefs, imageRefs };
}

type Members = ReadonlyMap<string, unknown>;

function membersOf(value: unknown, what: string): Members {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new CfsError("Corrupt", `${what} is not a JSON object`);
  return new Map(Object.entries(value));
}

function text(value: unknown): string {
  if (typeof value !== "string") throw new CfsError("Corrupt", "it is not a text");
  return value;
}

function sizeOf(members: Members): number {
  const size = members.get("size");
  if (!Number.isSafeInteger(size) || (size as number) < 0)
    throw new CfsError("Corrupt", "its size is not a number of bytes");
  return size as number;
}

function parse<T>(root: Members, member: string, read: (value: unknown) => T): T {
  try {
    return read(root.get(member));
  } catch (error) {
    throw corrupt(`the index: '${member}'`, error);
  }
}

function table<K extends string, V>(
  root: Members,
  member: string,
  read: (name: string, value: unknown) => readonly [K, V],
): ReadonlyMap<K, V> {
  const entries = parse(root, member, (value) => membersOf(value, `'${member}'`));
  return new Map(
    Array.from(entries, ([name, value]) => {
      try {
        return read(name, value);
      } catch (error) {
        throw corrupt(`the index: '${member}': '${name}'`, error);
      }
    }),
  );
}

function corrupt(context: string, error: unknown): CfsError {
  if (!(error instanceof CfsError)) return withContext(context, error);
  return new CfsError("Corrupt", context, { cause: error });
}
