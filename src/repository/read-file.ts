import { byteString } from "../bytes.ts";
import { CfsError } from "../errors.ts";
import { O_RDONLY, readSmallFile } from "../sys/file.ts";
import { openBeneath } from "../sys/openat2.ts";
import type { Leaf } from "../tree/model.ts";
import type { ReadFile } from "../tree/selinux/policy.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { fsVerityDigest } from "../verity/merkle.ts";
import type { ObjectStore } from "./objects.ts";
import type { ScannedDirectory } from "./scan-directory.ts";

/** Reads the files of a tree whose objects are stored. */
export function readFromObjects(objects: ObjectStore): ReadFile {
  return (file, _, max) => byteString(objects.read(objectOf(file), max));
}

/** Reads the files of a scanned directory where they are, and makes sure that they are what was hashed. */
export function readFromDirectory({ fd, files }: ScannedDirectory, algorithm: Algorithm): ReadFile {
  return (file, path, max) => {
    using opened = openBeneath(fd.fd, path.slice(1), O_RDONLY, "refuse", `${files.label}${path}`);
    const bytes = readSmallFile(opened, max);
    if (fsVerityDigest(bytes, algorithm) !== objectOf(file))
      throw new CfsError("Invalid", `${opened.path} changed while it was read`, {
        hint: "run the command again when nothing writes to the directory",
      });
    return byteString(bytes);
  };
}

function objectOf({ content }: Leaf): ObjectId {
  if (content.type === "external" || content.type === "external-no-verity") return content.id;
  throw new TypeError(`${content.type} is in no object`);
}
