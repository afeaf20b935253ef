import { parseHttpUrl } from "../../http/file-url.ts";
import type { Checksum } from "../checksum.ts";
import { encodeForDelta } from "../delta/names.ts";

/**
 * The URL of a repository that is spoken to over HTTP.
 * @param what for messages: where the text comes from.
 * @throws CfsError Invalid
 */
export function parseRepositoryUrl(text: string, what = "the URL"): URL {
  return parseHttpUrl(text, `${what} is not the http or https URL of an ostree repository`);
}

/** Path of an object in a repository. @param extension `commit`, `filez`, … */
export function objectPath(checksum: Checksum, extension: string): string {
  return `objects/${checksum.slice(0, 2)}/${checksum.slice(2)}.${extension}`;
}

/** The file that lists the static deltas to a commit. */
export function deltaIndexPath(to: Checksum): string {
  const name = encodeForDelta(to);
  return `delta-indexes/${name.slice(0, 2)}/${name.slice(2)}.index`;
}
