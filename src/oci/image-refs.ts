import type { ErofsVersion } from "../repository/meta.ts";
import type { XattrFilter } from "../tree/transform.ts";
import type { ObjectId } from "../verity/digest.ts";

/** A reference from a config's stream to an EROFS image that was made of it. */
export interface ImageRef {
  readonly name: string;
  readonly bootable: boolean;
  /** 1 stands for version 0 too: they share a name. */
  readonly version: 1 | 2;
  /** Of bootable images only. */
  readonly xattrMode: XattrFilter | undefined;
}

/** All there are, in the order in which they are written and listed. */
export const IMAGE_REFS: readonly ImageRef[] = [
  { name: "composefs.image", bootable: false, version: 2, xattrMode: undefined },
  { name: "composefs.image.v1", bootable: false, version: 1, xattrMode: undefined },
  { name: "composefs.image.boot", bootable: true, version: 2, xattrMode: "allowlist-only" },
  { name: "composefs.image.boot.v1", bootable: true, version: 1, xattrMode: "allowlist-only" },
  ...([2, 1] as const).map(
    (version): ImageRef => ({
      name: `composefs.image.boot${version === 1 ? ".v1" : ""}.xattrs=keep-user-xattrs`,
      bootable: true,
      version,
      xattrMode: "keep-user-xattrs",
    }),
  ),
];

/**
 * The reference to the image of a format, or to its bootable form.
 * @param xattrMode which xattrs the tree of a bootable image has kept.
 */
export function findImageRef(
  version: ErofsVersion,
  bootable: boolean,
  xattrMode: XattrFilter = "allowlist-only",
): ImageRef {
  const slot = version === 2 ? 2 : 1;
  const mode = bootable ? xattrMode : undefined;
  return IMAGE_REFS.find(
    (ref) => ref.version === slot && ref.bootable === bootable && ref.xattrMode === mode,
  )!;
}

/** Name of the reference to the image of a format, or to its bootable form. */
export function imageRef(version: ErofsVersion, bootable = false): string {
  return findImageRef(version, bootable).name;
}

/** An image that a config's stream refers to. */
export interface LinkedImage extends ImageRef {
  readonly id: ObjectId;
}

/** The images among the references of a config's stream. */
export function linkedImageRefs(namedRefs: ReadonlyMap<string, ObjectId>): LinkedImage[] {
  return IMAGE_REFS.flatMap((ref) => {
    const id = namedRefs.get(ref.name);
    return id === undefined ? [] : [{ ...ref, id }];
  });
}
