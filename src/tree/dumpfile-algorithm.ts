import { type Algorithm, SHA256, SHA512 } from "../verity/digest.ts";

/** Where the digest stands in a line: behind path, size, mode, links, owner, group, device, time, payload and content. */
const DIGEST_FIELD = 10;

/**
 * The algorithm of the digests in a dumpfile, by the length of the first one; undefined when there is none.
 * @param lines without their ends.
 */
export function algorithmOfLines(lines: Iterable<string>): Algorithm | undefined {
  for (const line of lines) {
    const digest = line.split(" ", DIGEST_FIELD + 1)[DIGEST_FIELD] ?? "";
    for (const algorithm of [SHA256, SHA512]) {
      if (digest.length === algorithm.size * 2 && /^[0-9a-fA-F]+$/.test(digest)) return algorithm;
    }
  }
  return undefined;
}
