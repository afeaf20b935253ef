import { CfsError, withContext } from "../errors.ts";
import { openDirectory, readDirectory } from "../sys/dir.ts";
import { ENOENT, isErrno } from "../sys/errno.ts";
import type { Fd } from "../sys/fd.ts";
import { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, openat } from "../sys/file.ts";
import { measureVerity } from "../sys/verity.ts";
import { type Algorithm, SHA256, SHA512 } from "../verity/digest.ts";
import { META_NAME } from "./meta.ts";

/** What the objects of a repository without meta.json tell about it. */
export interface Legacy {
  readonly algorithm: Algorithm;
  /** The objects have fs-verity. */
  readonly verity: boolean;
}

/**
 * Infers the configuration of a repository from before meta.json existed: an object's name has 64 or 128 digits.
 * @param path for messages.
 * @throws CfsError NotFound when there is no object, so it is not known to be a repository at all
 */
export function inferLegacy(dir: Fd, path: string): Legacy {
  const context = `${path} has no ${META_NAME}; tried to tell the algorithm from the objects`;
  let objects: Fd;
  try {
    objects = openat(dir.fd, "objects", O_RDONLY | O_DIRECTORY, 0, `${path}/objects`);
  } catch (error) {
    if (!isErrno(error, ENOENT)) throw withContext(context, error);
    throw new CfsError("NotFound", `${path} is no repository: it has neither ${META_NAME} nor objects/`, {
      hint: "create one with `cfsctl init`",
    });
  }
  using opened = objects;
  for (const entry of readDirectory(opened)) {
    if (entry.name.length !== 2) continue;
    using sub = openDirectory(opened.fd, entry.name);
    for (const { name } of readDirectory(sub)) {
      const algorithm = [SHA256, SHA512].find(({ size }) => name.length === size * 2 - 2);
      if (algorithm === undefined) continue;
      using object = openat(sub.fd, name, O_RDONLY | O_NOFOLLOW);
      return { algorithm, verity: measureVerity(object.fd, algorithm).state === "measured" };
    }
  }
  throw new CfsError("NotFound", `${context}, but there are none`, {
    hint: "run `cfsctl init` with the algorithm you want",
  });
}
