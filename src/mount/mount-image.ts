import { withContext } from "../errors.ts";
import type { Repository } from "../repository/repository.ts";
import { openDirectory } from "../sys/dir.ts";
import type { Fd } from "../sys/fd.ts";
import { O_DIRECTORY, O_PATH, open } from "../sys/file.ts";
import { mountComposefs } from "./composefs.ts";
import { openMountableImage } from "./open-image.ts";

export interface MountOptions {
  /** Directories for changes, as paths; both or none. */
  readonly upper?: { readonly upperdir: string; readonly workdir: string };
  readonly readWrite: boolean;
}

/** Mounts an image of the repository (see `openMountableImage` for the forms of `name`) on a directory. */
export function mountImage(
  repository: Repository,
  name: string,
  mountpoint: string,
  { upper, readWrite }: MountOptions,
): void {
  using upperdir = upper && openUpper(upper.upperdir, "upper");
  using workdir = upper && openUpper(upper.workdir, "work");
  using image = openMountableImage(repository, name);
  using objects = openDirectory(repository.dir.fd, "objects");
  try {
    mountComposefs(
      {
        image: image.file,
        name,
        objectDirs: [objects],
        verity: image.verity,
        ...(upperdir && workdir && { upper: { upperdir, workdir } }),
        readWrite,
      },
      mountpoint,
    );
  } catch (error) {
    throw withContext(`mounting image '${name}' on ${mountpoint}`, error);
  }
}

function openUpper(path: string, which: string): Fd {
  try {
    return open(path, O_PATH | O_DIRECTORY);
  } catch (error) {
    throw withContext(`the ${which} directory`, error);
  }
}
