import { CfsError, withContext } from "../errors.ts";
import { findImage } from "../repository/image-name.ts";
import type { Repository } from "../repository/repository.ts";
import type { Fd } from "../sys/fd.ts";
import { measureVerity } from "../sys/verity.ts";
import { formatObjectId, type ObjectId } from "../verity/digest.ts";
import type { MountVerity } from "./composefs.ts";

/** An image that may be mounted: the kernel vouches for its content, or nobody asked for that. */
export interface MountableImage extends Disposable {
  readonly id: ObjectId;
  readonly file: Fd;
  /** What the kernel must demand of the objects. */
  readonly verity: MountVerity;
}

/**
 * Finds an image by name and makes sure that it is the one: its fs-verity digest is measured, whether it was named by
 * digest or by ref. Only a repository that does not require fs-verity may have images without.
 * @param name HEX, `sha256:HEX`, `sha512:HEX`, `refs/NAME`, or the NAME of a ref when it has no `/`.
 */
export function openMountableImage(repository: Repository, name: string): MountableImage {
  try {
    const id = findImage(repository, name);
    const file = repository.objects.open(id);
    try {
      return { id, file, verity: demand(repository, id, file), [Symbol.dispose]: () => file.close() };
    } catch (error) {
      file.close();
      throw error;
    }
  } catch (error) {
    throw withContext(`image '${name}'`, error);
  }
}

function demand(repository: Repository, id: ObjectId, file: Fd): MountVerity {
  const measured = measureVerity(file.fd, repository.algorithm, file.path);
  if (measured.state === "measured" && measured.id === id) return "require";
  if (measured.state === "measured" || measured.state === "other") {
    throw new CfsError(
      "Corrupt",
      `${file.path} is not the image ${formatObjectId(id, repository.algorithm)}`,
      {
        hint: "remove the file and create or pull the image again",
      },
    );
  }
  if (!repository.secure) return "none";
  throw new CfsError("Corrupt", `${file.path} has no fs-verity, which this repository requires`, {
    hint: "remove the file and create or pull the image again",
  });
}
