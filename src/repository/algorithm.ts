import { O_DIRECTORY, O_RDONLY, open } from "../sys/file.ts";
import type { Algorithm } from "../verity/digest.ts";
import { inferLegacy } from "./legacy.ts";
import { readMetaFile } from "./meta-file.ts";

/**
 * The algorithm of the repository at `path`, without opening it for anything else: no lock is waited for.
 * @throws CfsError NotFound when there is none.
 */
export function repositoryAlgorithm(path: string): Algorithm {
  using dir = open(path, O_RDONLY | O_DIRECTORY);
  return readMetaFile(dir)?.meta.algorithm ?? inferLegacy(dir, path).algorithm;
}
