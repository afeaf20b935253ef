import { dirname, join } from "node:path";
import { CfsError, withContext } from "../../errors.ts";
import type { Fd } from "../../sys/fd.ts";
import { O_NONBLOCK, O_RDONLY, open } from "../../sys/file.ts";
import { fstat, isRegular } from "../../sys/stat.ts";
import type { OstreeSource } from "../source.ts";
import { fileRange } from "./byte-range.ts";
import type { Delta } from "./pull-delta.ts";
import { detachedMetadataOf, readSuperblock, type Superblock } from "./superblock.ts";

/**
 * Opens a delta in a file: a superblock with its parts beside it, or a single file with the parts inside. Parts are
 * read when they are asked for.
 * @throws CfsError NotFound, Corrupt
 */
export function openDeltaFile(path: string): Delta {
  const superblock = readHead(path);
  return {
    superblock,
    async readPart(index) {
      const place = superblock.parts[index]?.inline;
      const part = place === undefined ? join(dirname(path), String(index)) : path;
      try {
        using file = openRegular(part);
        return { fd: file.release(), place };
      } catch (error) {
        throw withContext(`opening delta part ${index}`, error);
      }
    },
  };
}

function readHead(path: string): Superblock {
  let opened: Fd;
  try {
    opened = openRegular(path);
  } catch (error) {
    throw withContext("opening delta", error);
  }
  using file = opened;
  return readSuperblock(fileRange(file, fstat(file).size));
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
