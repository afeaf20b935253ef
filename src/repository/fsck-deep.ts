import { checkCanonical } from "../erofs/canonical.ts";
import { describeError } from "../errors.ts";
import type { Repository } from "./repository.ts";
import { copyStream, type OpenStream } from "./streams.ts";

/** Streams of OCI content have the SHA-256 of their content in their names. */
const CONTENT_NAME = /^oci-[a-z]+-sha256:([0-9a-f]{64})$/;

/** Rebuilds a stream and compares size and, where the name tells it, digest. What is wrong, or undefined. */
export function checkStreamContent(
  repository: Repository,
  name: string,
  stream: OpenStream,
): string | undefined {
  const hasher = new Bun.SHA256();
  try {
    copyStream(repository, stream.reader, (piece) => void hasher.update(piece as Uint8Array<ArrayBuffer>));
  } catch (error) {
    return describeError(error);
  }
  const found = hasher.digest("hex");
  const expected = CONTENT_NAME.exec(name)?.[1];
  if (expected === undefined || expected === found) return undefined;
  return `its content has the digest sha256:${found}`;
}

/** Whether an image is what writing the tree in it gives. What is wrong, or undefined. */
export function checkImageBytes(repository: Repository, bytes: Uint8Array): string | undefined {
  try {
    checkCanonical(bytes, repository.algorithm);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}
