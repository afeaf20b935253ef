import type { ErofsVersion } from "../repository/meta.ts";
import type { XattrFilter } from "../tree/transform.ts";

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

/** Name of the reference to the image of a format, or to its bootable form. */
export function imageRef(version: ErofsVersion, bootable = false): string {
  const slot = version === 2 ? 2 : 1;
  return IMAGE_REFS.find((ref) => ref.version === slot && ref.bootable === bootable)!.name;
}
