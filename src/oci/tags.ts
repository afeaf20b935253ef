import { type ByteString, fromText, toText } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { linkTarget } from "../repository/links.ts";
import { baseName, REFS } from "../repository/names.ts";
import { listRefs, removeRef, writeRef } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { lookUpStream } from "../repository/streams.ts";
import { isDigest, type OciDigest } from "./digest.ts";
import { readIndexRefs, removeIndexRefs } from "./index-refs.ts";
import { MANIFEST_PREFIX, manifestStream } from "./streams.ts";

/** Directory of the tags below `streams/refs`. */
const TAG_DIRECTORY = "oci";

/** Tags are file names: `/` becomes `%2F`, and `%` becomes `%25`. */
export function encodeTag(name: string): string {
  return name.replaceAll("%", "%25").replaceAll("/", "%2F");
}

/** Undoes `encodeTag`; other `%xx` are kept. */
export function decodeTag(encoded: string): string {
  return encoded.replace(/%2F|%25/g, (code) => (code === "%25" ? "%" : "/"));
}

/** @throws CfsError Invalid for a name that no tag can have. */
export function checkTagName(name: string): void {
  const invalid = (why: string) => new CfsError("Invalid", `invalid tag name "${name}": ${why}`);
  if (name === "") throw invalid("it is empty");
  if (name.startsWith("@")) throw invalid("it must not begin with '@', which marks a digest");
  if (!isPossibleTag(name)) throw invalid("it is no file name");
  if (Buffer.byteLength(encodeTag(name)) > 255) throw invalid("it is too long");
}

/** Whether there can be a link of this name, whoever made it. */
function isPossibleTag(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("\0");
}

/** Path of a tag below `streams/refs`. */
export function tagRef(name: string): string {
  return `${TAG_DIRECTORY}/${encodeTag(name)}`;
}

export interface Tag {
  readonly name: string;
  /** undefined when the link does not point to a manifest's stream. */
  readonly manifest: OciDigest | undefined;
}

/** All tags, sorted by name; refs whose names are not UTF-8 are left out. */
export function listTags(repository: Repository): Tag[] {
  const prefix = `${TAG_DIRECTORY}/`;
  const tags = listRefs(repository, "streams").flatMap(({ name, target }): Tag[] => {
    const text = name.startsWith(prefix) ? toText(name.slice(prefix.length)) : undefined;
    if (text === undefined || text.includes("/")) return [];
    return [{ name: decodeTag(text), manifest: manifestOfTarget(target) }];
  });
  return tags.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The manifest that a link with this target names, if it names one. */
export function manifestOfTarget(target: ByteString): OciDigest | undefined {
  const name = baseName(target);
  if (name === undefined || !name.startsWith(MANIFEST_PREFIX)) return undefined;
  const digest = name.slice(MANIFEST_PREFIX.length);
  return isDigest(digest) ? digest : undefined;
}

/**
 * Manifest that a tag names; undefined when there is no such tag.
 * @throws CfsError Corrupt when the tag points to something else.
 */
export function lookUpTag(repository: Repository, name: string): OciDigest | undefined {
  if (!isPossibleTag(name)) return undefined;
  const target = linkTarget(repository.dir.fd, fromText(`streams/${REFS}/${tagRef(name)}`));
  if (target === undefined) return undefined;
  const manifest = manifestOfTarget(target);
  if (manifest === undefined) throw new CfsError("Corrupt", `the tag ${name} does not point to a manifest`);
  return manifest;
}

/** Points a tag to a manifest that is in the repository. @throws CfsError NotFound, Invalid */
export function writeTag(repository: Repository, manifest: OciDigest, name: string): void {
  checkTagName(name);
  const stream = manifestStream(manifest);
  if (lookUpStream(repository, stream) === undefined) {
    throw new CfsError("NotFound", `there is no manifest ${manifest} in the repository`, {
      hint: "`cfsctl oci images` lists what there is",
    });
  }
  repository.ensureWritable();
  writeRef(repository, "streams", tagRef(name), stream);
  // An index that was pulled with another image under this name.
  const refs = readIndexRefs(repository, encodeTag(name));
  if (refs !== undefined && !refs.manifests.has(manifest)) removeIndexRefs(repository, encodeTag(name));
}

/** @throws CfsError NotFound */
export function removeTag(repository: Repository, name: string): void {
  repository.ensureWritable();
  if (isPossibleTag(name)) {
    const isRemoved = removeRef(repository, "streams", tagRef(name));
    // Also what remains when another program has removed the tag.
    if (removeIndexRefs(repository, encodeTag(name)) || isRemoved) return;
  }
  throw new CfsError("NotFound", `there is no tag ${name}`, { hint: "`cfsctl oci images` lists the tags" });
}
