import { CfsError } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { linkStream, lookUpStream } from "../repository/streams.ts";
import { CONTENT_BLOB } from "../splitstream/format.ts";
import { type OciDigest, verifyDigest } from "./digest.ts";
import { readDocument, storeDocument } from "./documents.ts";
import { type ImageIndex, MAX_INDEX_SIZE, parseIndex } from "./index.ts";
import { type IndexRefs, readIndexRefs, writeIndexRefs } from "./index-refs.ts";
import { OCI_INDEX } from "./media-types.ts";
import type { PublishedDocument } from "./source.ts";
import { indexStream } from "./streams.ts";
import { checkTagName, encodeTag, lookUpTag } from "./tags.ts";

/** An index that is kept with a tag. */
export interface StoredIndex extends PublishedDocument {
  readonly index: ImageIndex;
}

/**
 * Stores an index whose manifests are in the repository, as published, and keeps all of them as long as the tag. The
 * tag must be there, and name one of them.
 */
export function storeIndex(repository: Repository, tag: string, { bytes, digest }: PublishedDocument): void {
  checkTagName(tag);
  const { manifests } = parseIndex(bytes);
  linkStream(repository, indexStream(digest), storeDocument(repository, CONTENT_BLOB, bytes, []));
  writeIndexRefs(repository, encodeTag(tag), digest, new Set(manifests.map((manifest) => manifest.digest)));
}

/**
 * The index that a tag's image was pulled with; undefined when there is none, or the tag has come to name another
 * image meanwhile.
 * @throws CfsError NotFound, Corrupt
 */
export function readStoredIndex(repository: Repository, tag: string): StoredIndex | undefined {
  const refs = validRefs(repository, tag);
  return refs && readIndex(repository, refs.index);
}

/** Has a tag keep the index that another tag of the same image has, if that has one. */
export function shareIndex(repository: Repository, from: string, to: string): void {
  const refs = validRefs(repository, from);
  if (refs !== undefined) writeIndexRefs(repository, encodeTag(to), refs.index, refs.manifests);
}

function validRefs(repository: Repository, tag: string): (IndexRefs & { index: OciDigest }) | undefined {
  const manifest = lookUpTag(repository, tag);
  if (manifest === undefined) return undefined;
  const refs = readIndexRefs(repository, encodeTag(tag));
  if (refs?.index === undefined || !refs.manifests.has(manifest)) return undefined;
  return { ...refs, index: refs.index };
}

function readIndex(repository: Repository, digest: OciDigest): StoredIndex {
  const id = lookUpStream(repository, indexStream(digest));
  if (id === undefined) throw new CfsError("NotFound", `there is no index ${digest} in the repository`);
  const { bytes } = readDocument(repository, id, CONTENT_BLOB, MAX_INDEX_SIZE);
  verifyDigest(bytes, digest, "Index");
  const index = parseIndex(bytes);
  return { bytes, digest, mediaType: index.mediaType ?? OCI_INDEX, index };
}
