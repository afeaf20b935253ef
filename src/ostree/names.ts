import { type ByteString, fromText, toText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import type { Checksum } from "./checksum.ts";

/** Refs of ostree commits are below `streams/refs/ostree/`. */
export const REF_PREFIX = "ostree/";

const STREAM_PREFIX = "ostree-commit-";
const PARTIAL_PREFIX = "ostree-commitpartial-";
const MAX_NAME = 255;

/** Name of the splitstream that holds a commit. */
export function commitStreamName(commit: Checksum): string {
  return STREAM_PREFIX + commit;
}

/**
 * Name of the splitstream that holds a commit of which only some paths were pulled. It is not that of a commit, so that
 * nobody takes it for one that is complete.
 */
export function partialStreamName(commit: Checksum): string {
  return PARTIAL_PREFIX + commit;
}

/** The commit in a stream of this name, of which some paths may be all there is; undefined for other streams. */
export function commitOfStreamName(name: string): Checksum | undefined {
  const commit = /^ostree-commit(?:partial)?-([0-9a-f]{64})$/.exec(name)?.[1];
  return commit === undefined ? undefined : (commit as Checksum);
}

export function isPartialStreamName(name: string): boolean {
  return name.startsWith(PARTIAL_PREFIX);
}

/**
 * The repository's ref for an ostree ref or tag: as many components as the name has become one.
 * @throws CfsError Invalid for names that no file can have.
 */
export function commitRefName(name: string): string {
  const encoded = name.replaceAll("%", "%25").replaceAll("/", "%2F");
  const invalid = (why: string) => new CfsError("Invalid", `the name '${name}' ${why}`);
  if (encoded === "") throw new CfsError("Invalid", "the name is empty");
  if (encoded === "." || encoded === "..") throw invalid("can't be used");
  if (encoded.includes("\0")) throw invalid("contains a NUL character");
  if (fromText(encoded).length > MAX_NAME) throw invalid(`has more than ${MAX_NAME} bytes`);
  return REF_PREFIX + encoded;
}

/** The name that an entry of `streams/refs/ostree/` stands for; undefined when it is not UTF-8. */
export function nameOfCommitRef(entry: ByteString): string | undefined {
  return toText(entry)?.replaceAll("%2F", "/").replaceAll("%25", "%");
}
