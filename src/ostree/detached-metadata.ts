import { type ByteString, fromText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { linkStream, lookUpStream } from "../repository/streams.ts";
import { type Checksum, isChecksum, parseChecksum } from "./checksum.ts";
import { readGVariant, type Value, Variant, writeGVariant } from "./gvariant.ts";
import { readInline, storeInline } from "./inline-stream.ts";
import { commitStreamName, partialStreamName } from "./names.ts";

/** What is kept beside a commit, as `COMMIT.commitmeta` of ostree has it: signatures, as a rule. */
export type DetachedMetadata = readonly (readonly [key: string, value: Variant])[];

const DICTIONARY = "a{sv}";
/** Each signature of ostree has some hundred bytes. */
const MAX_SIZE = 16 * 1024 * 1024;
const CONTENT_TYPE = "ostrmeta";
/** Directory below `streams/refs`, with a link for each commit. */
const REFS = "ostree-commitmeta";

function streamName(commit: Checksum): string {
  return `ostree-commitmeta-${commit}`;
}

/** @throws CfsError Corrupt */
export function parseDetachedMetadata(bytes: Uint8Array): DetachedMetadata {
  return readGVariant(DICTIONARY, bytes) as unknown as DetachedMetadata;
}

/**
 * Keeps what was found beside a commit, with what is known already. A commit's own stream has no room for it; the
 * stream that it gets has a ref, which keeps it as long as the commit is kept (see `detachedMetadataCondition`).
 * @throws CfsError Corrupt when it is no dictionary, Unsupported when it is too large
 */
export function storeDetachedMetadata(repository: Repository, commit: Checksum, bytes: Uint8Array): void {
  if (bytes.length > MAX_SIZE)
    throw new CfsError("Unsupported", `${bytes.length} bytes are too many for signatures of a commit`);
  const known = readDetachedMetadata(repository, commit);
  const merged = mergeDetachedMetadata(known, bytes);
  if (known !== undefined && Buffer.compare(known, merged) === 0) return;
  const id = storeInline(repository, CONTENT_TYPE, merged);
  linkStream(repository, streamName(commit), id, `${REFS}/${commit}`);
}

/** What is kept beside a commit; undefined when there is nothing. @throws CfsError Corrupt when it is damaged */
export function readDetachedMetadata(
  repository: Repository,
  commit: Checksum,
): Uint8Array<ArrayBuffer> | undefined {
  const name = streamName(commit);
  if (lookUpStream(repository, name) === undefined) return undefined;
  return new Uint8Array(readInline(repository, name, CONTENT_TYPE, 2 * MAX_SIZE));
}

/**
 * For garbage collection: signatures mean nothing without their commit.
 * @param ref path below `streams/refs`.
 * @returns the streams of which one must be kept; undefined for refs that are roots on their own.
 */
export function detachedMetadataCondition(ref: string): ByteString[] | undefined {
  const [directory, commit, ...more] = ref.split("/");
  if (directory !== REFS || commit === undefined || !isChecksum(commit) || more.length > 0) return undefined;
  const id = parseChecksum(commit, "the ref");
  return [commitStreamName(id), partialStreamName(id)].map(fromText);
}

/**
 * The signatures of both: of keys that both have, lists of bytes are joined, and of all else the younger one counts.
 * @throws CfsError Corrupt when the younger one is no dictionary; an older one that is none is left out
 */
export function mergeDetachedMetadata(
  older: Uint8Array | undefined,
  younger: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const merged = new Map<string, Variant>(older === undefined ? [] : tolerantly(older));
  for (const [key, value] of parseDetachedMetadata(younger)) {
    const known = merged.get(key);
    merged.set(key, known === undefined ? value : joined(known, value));
  }
  return writeGVariant(DICTIONARY, [...merged] as unknown as Value);
}

function tolerantly(bytes: Uint8Array): DetachedMetadata {
  try {
    return parseDetachedMetadata(bytes);
  } catch (error) {
    if (error instanceof CfsError) return [];
    throw error;
  }
}

function joined(older: Variant, younger: Variant): Variant {
  if (older.signature !== "aay" || younger.signature !== "aay") return younger;
  const byContent = new Map<string, Uint8Array>();
  for (const { value } of [older, younger])
    for (const item of value as Uint8Array[]) byContent.set(Buffer.from(item).toString("latin1"), item);
  return new Variant("aay", [...byContent.values()]);
}
