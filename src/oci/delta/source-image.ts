import { MAX_IMAGE_SIZE } from "../../erofs/format.ts";
import { writeImage } from "../../erofs/writer.ts";
import { CfsError } from "../../errors.ts";
import type { Repository } from "../../repository/repository.ts";
import { lookUpStream } from "../../repository/streams.ts";
import { pread } from "../../sys/file.ts";
import { fstat } from "../../sys/stat.ts";
import { applyOciTransform } from "../../tree/transform.ts";
import type { ObjectId } from "../../verity/digest.ts";
import type { OciDigest } from "../digest.ts";
import { openConfig, parseStoredConfig } from "../image.ts";
import { linkedImageRefs } from "../image-refs.ts";
import { replayLayers } from "../image-tree.ts";
import { configStream } from "../streams.ts";

/** Whether the source of a delta is in the repository, under whatever name. */
export function hasSource(repository: Repository, config: OciDigest): boolean {
  return lookUpStream(repository, configStream(config)) !== undefined;
}

/**
 * An EROFS image of the source of a delta, for finding its files by path, in memory that threads share. One that is
 * linked will do whatever its format; when there is none, it is made anew.
 * @throws CfsError NotFound when the repository does not have the source
 */
export function readSourceImage(repository: Repository, config: OciDigest): SharedArrayBuffer {
  if (!hasSource(repository, config)) {
    throw new CfsError(
      "NotFound",
      `The delta is based on an image with config ${config}, but it is not present in the repository. ` +
        "The delta cannot be applied",
      {
        hint: "pull that image first, or the whole image instead of the delta",
        data: { config },
      },
    );
  }
  const stored = openConfig(repository, config);
  for (const { id, bootable } of linkedImageRefs(stored.document.namedRefs)) {
    const image = bootable ? undefined : tryRead(repository, id);
    if (image !== undefined) return image;
  }
  const root = replayLayers(repository, parseStoredConfig(stored).diffIds);
  applyOciTransform(root, "allowlist-only");
  const made = writeImage(root, 2, repository.algorithm);
  const image = new SharedArrayBuffer(made.length);
  new Uint8Array(image).set(made);
  return image;
}

/** Undefined for an image that is missing or damaged. */
function tryRead(repository: Repository, id: ObjectId): SharedArrayBuffer | undefined {
  try {
    using file = repository.objects.open(id);
    const { size } = fstat(file);
    if (size > MAX_IMAGE_SIZE) return undefined;
    const image = new SharedArrayBuffer(size);
    return pread(file.fd, new Uint8Array(image), 0, file.path) === size ? image : undefined;
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}
