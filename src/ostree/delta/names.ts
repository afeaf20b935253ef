import { type Checksum, checksumBytes } from "../checksum.ts";

/** As libostree writes checksums in the names of deltas: base64 with `_` for `/`, without padding. */
export function encodeForDelta(checksum: Checksum): string {
  return Buffer.from(checksumBytes(checksum)).toString("base64").replaceAll("/", "_").replace(/=+$/, "");
}

/** Directory of a delta below the top of a repository. @param from undefined for a delta from nothing. */
export function deltaDirectory(from: Checksum | undefined, to: Checksum): string {
  const name = [from, to]
    .flatMap((commit) => (commit === undefined ? [] : [encodeForDelta(commit)]))
    .join("-");
  return `deltas/${name.slice(0, 2)}/${name.slice(2)}`;
}
