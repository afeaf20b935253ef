import { CfsError, withContext } from "../../errors.ts";
import {
  digestAlgorithm,
  digestHex,
  isDigest,
  isSupportedAlgorithm,
  type OciDigest,
} from "../../oci/digest.ts";
import { blobStream, configStream, layerStream, manifestStream } from "../../oci/streams.ts";
import { computeChecksum } from "../../ostree/checksum.ts";
import { readCommitTable, SUBPATH_REF } from "../../ostree/commit-table.ts";
import { commitOfStreamName, commitStreamName, partialStreamName } from "../../ostree/names.ts";
import type { Repository } from "../../repository/repository.ts";
import { copyStream, openStreamObject } from "../../repository/streams.ts";
import {
  CONTENT_BLOB,
  CONTENT_CONFIG,
  CONTENT_LAYER,
  CONTENT_MANIFEST,
  CONTENT_OSTREE_COMMIT,
} from "../../splitstream/format.ts";
import type { SplitstreamReader } from "../../splitstream/reader.ts";
import type { ObjectId } from "../../verity/digest.ts";

const STREAM_OF_CONTENT: ReadonlyMap<string, (digest: OciDigest) => string> = new Map([
  [CONTENT_LAYER, layerStream],
  [CONTENT_CONFIG, configStream],
  [CONTENT_MANIFEST, manifestStream],
  [CONTENT_BLOB, blobStream],
]);

export interface NamedStream {
  /** Names below `streams/` that are known to be right, or that nothing can be said about. */
  readonly names: readonly string[];
  /** SHA-256 of the content, in hex. */
  readonly sha256: string;
}

/**
 * Reads a stream that is there with all its content, and makes sure that it is what it is called: names of OCI content
 * hold its digest, those of ostree commits their checksum.
 * @param claimed by the copy; when there are none, the content says what the stream is called.
 * @throws CfsError Corrupt
 */
export function nameStream(repository: Repository, id: ObjectId, claimed: readonly string[]): NamedStream {
  using stream = openStreamObject(repository, id);
  const { reader } = stream;
  const digests = claimed.flatMap((name) => digestIn(name) ?? []);
  const hashers = new Map(
    ["sha256", ...digests.map(digestAlgorithm)].map((name) => [
      name,
      new Bun.CryptoHasher(name as Bun.SupportedCryptoAlgorithms),
    ]),
  );
  copyStream(repository, reader, (piece) => {
    for (const hasher of hashers.values()) hasher.update(piece as Uint8Array<ArrayBuffer>);
  });
  const found = new Map([...hashers].map(([name, hasher]) => [name, hasher.digest("hex")]));
  const sha256 = found.get("sha256")!;
  if (claimed.length === 0) return { names: nameOf(reader, sha256), sha256 };
  for (const name of claimed) {
    const digest = digestIn(name);
    if (digest !== undefined && found.get(digestAlgorithm(digest)) !== digestHex(digest))
      throw mislabelled(name, `the content of sha256:${sha256}`);
    if (commitOfStreamName(name) !== undefined && commitNameOf(reader) !== name)
      throw mislabelled(name, `the commit of ${commitNameOf(reader)}`);
  }
  return { names: claimed, sha256 };
}

function mislabelled(name: string, what: string): CfsError {
  return new CfsError("Corrupt", `the copy has ${what} under the name ${name}`, {
    hint: "don't use this copy: it was published wrongly or tampered with",
  });
}

/** The digest in the name of a stream of OCI content, if it is one that can be checked. */
function digestIn(name: string): OciDigest | undefined {
  const digest = /^oci-[a-z]+-(.*)$/.exec(name)?.[1];
  if (digest === undefined || !isDigest(digest)) return undefined;
  return isSupportedAlgorithm(digestAlgorithm(digest)) ? digest : undefined;
}

function nameOf(reader: SplitstreamReader, sha256: string): string[] {
  const name = STREAM_OF_CONTENT.get(reader.contentType);
  if (name !== undefined) return [name(`sha256:${sha256}` as OciDigest)];
  return reader.contentType === CONTENT_OSTREE_COMMIT ? [commitNameOf(reader)] : [];
}

/** What the stream of a commit has to be called. @throws CfsError Corrupt when it holds none */
function commitNameOf(reader: SplitstreamReader): string {
  try {
    const table = readCommitTable(reader);
    const { commit } = table;
    if (computeChecksum(table.find(commit)!.data) !== commit)
      throw new CfsError("Corrupt", `the commit ${commit} has another checksum`);
    const isPartial = [...reader.namedRefs.keys()].some((name) => name.startsWith(SUBPATH_REF));
    return isPartial ? partialStreamName(commit) : commitStreamName(commit);
  } catch (error) {
    throw withContext("the stream of a commit", error);
  }
}
