import { dirname, join } from "node:path";
import { CfsError, withContext } from "../../errors.ts";
import type { Fd } from "../../sys/fd.ts";
import { O_NONBLOCK, O_RDONLY, open, pread } from "../../sys/file.ts";
import { fstat, isRegular } from "../../sys/stat.ts";
import type { OstreeSource } from "../source.ts";
import type { Delta } from "./pull-delta.ts";
import { detachedMetadataOf, parseSuperblock, type Superblock } from "./superblock.ts";

/** Larger ones, with all parts inside, are better made with parts of their own. */
const MAX_SUPERBLOCK_SIZE = 1024 * 1024 * 1024;

/**
 * Opens a delta in a file: a superblock with its parts beside it, or a single file with the parts inside.
 * @throws CfsError NotFound, Corrupt
 */
export function openDeltaFile(path: string): Delta {
  return {
    superblock: parseSuperblock(readFile(path)),
    async readPart(index) {
      const part = join(dirname(path), String(index));
      try {
        using file = openRegular(part);
        return { fd: file.release() };
      } catch (error) {
        throw withContext(`opening delta part ${index}`, error);
      }
    },
  };
}

function readFile(path: string): Uint8Array<ArrayBuffer> {
  try {
    using file = openRegular(path);
    const { size } = fstat(file);
    if (size > MAX_SUPERBLOCK_SIZE)
      throw new CfsError("Unsupported", `${size} bytes are too many for a superblock`, {
        hint: "make the delta without --inline",
      });
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, pread(file.fd, bytes, 0, path));
  } catch (error) {
    throw withContext("opening delta", error);
  }
}

function openRegular(path: string): Fd {
  const file = open(path, O_RDONLY | O_NONBLOCK);
  if (isRegular(fstat(file))) return file;
  file.close();
  throw new CfsError("Invalid", "it is not a regular file", {
    hint: "name the superblock or the single file of the delta",
  });
}

/** A source that has nothing but the commit and its signatures: for deltas that have to be complete. */
export function deltaSource(label: string, superblock: Superblock): OstreeSource {
  const missing = async (): Promise<never> => {
    throw new CfsError("NotFound", "neither the delta nor the commit that it leads from has it", {
      hint: "get the delta again, or pull the commit without it",
    });
  };
  return {
    label,
    metadataConcurrency: 1,
    files: { kind: "remote", concurrency: 1, fetchFile: missing },
    resolveRef: missing,
    readMetadata: async (type, checksum) =>
      type === "commit" && checksum === superblock.to ? superblock.commit : missing(),
    readDetachedMetadata: async (commit) => {
      const found = commit === superblock.to ? detachedMetadataOf(superblock) : undefined;
      return found && new Uint8Array(found);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}
