import { CfsError } from "../errors.ts";
import { storeImage, storeImageIf } from "../repository/images.ts";
import type { ErofsVersion } from "../repository/meta.ts";
import { readFromObjects } from "../repository/read-file.ts";
import type { Repository } from "../repository/repository.ts";
import { applyBootTransform } from "../tree/boot-transform.ts";
import type { Directory } from "../tree/model.ts";
import { applyOciTransform, type XattrFilter } from "../tree/transform.ts";
import type { ObjectId } from "../verity/digest.ts";
import { findImageRef, type LinkedImage } from "./image-refs.ts";
import { type Seal, satisfies } from "./seal.ts";

export interface MakeOptions {
  /** Make the bootable images too. */
  readonly bootable: boolean;
  readonly seals: readonly Seal[];
  /** The tree as replayed, once more. */
  readonly replay: () => Directory;
}

/** EROFS images of a container image; they are stored, but not linked. */
export interface MadeImages {
  /** What the config's stream is to refer to. */
  readonly linked: readonly LinkedImage[];
  /** The bootable image in the repository's default format, if it was asked for. */
  readonly bootImage: ObjectId | undefined;
}

/**
 * Makes an image in each of the repository's formats, and the bootable ones if wanted. Of a sealed image, that which
 * the seal means must be among them, or be one that other tools would have made: it is then made as well.
 * @param root the tree that the layers make, as replayed; it is changed.
 * @throws CfsError when the tree can't be an image; Corrupt when it does not match its seal
 */
export function makeImages(repository: Repository, root: Directory, options: MakeOptions): MadeImages {
  const { bootable, seals, replay } = options;
  const maker = new Maker(repository, seals);
  applyOciTransform(root, "allowlist-only");
  const id = maker.make(root, false, "allowlist-only", true);
  let bootImage: ObjectId | undefined;
  if (bootable || maker.mayBeBootable) {
    const isPossible = tryBootTransform(repository, root, bootable);
    if (isPossible) bootImage = maker.make(root, true, "allowlist-only", bootable);
    if (isPossible && maker.mayBeBootable) {
      const other = replay();
      applyOciTransform(other, "keep-user-xattrs");
      applyBootTransform(other, readFromObjects(repository.objects));
      maker.make(other, true, "keep-user-xattrs", false);
    }
  }
  const broken = maker.open[0];
  if (broken !== undefined) throw brokenSeal(broken, id!);
  return { linked: maker.linked, bootImage };
}

/** False when a tree, which need not be bootable, can't be. */
function tryBootTransform(repository: Repository, root: Directory, needed: boolean): boolean {
  try {
    applyBootTransform(root, readFromObjects(repository.objects));
    return true;
  } catch (error) {
    if (needed || !(error instanceof CfsError)) throw error;
    return false;
  }
}

function brokenSeal({ id, place }: Seal, found: ObjectId): CfsError {
  return new CfsError(
    "Corrupt",
    `the image is sealed with ${id} (${place}), but no EROFS image that can be made of it has this digest`,
    {
      hint: "somebody changed the image or its label; get it from a place that you trust, or have it sealed again",
      data: { expected: id, found },
    },
  );
}

class Maker {
  readonly #repository: Repository;
  readonly #seals: readonly Seal[];
  readonly #linked = new Map<string, LinkedImage>();

  constructor(repository: Repository, seals: readonly Seal[]) {
    this.#repository = repository;
    this.#seals = seals;
  }

  get linked(): LinkedImage[] {
    return [...this.#linked.values()];
  }

  /** The seals that no image has satisfied yet. */
  get open(): Seal[] {
    return this.#seals.filter((seal) => !this.linked.some((image) => satisfies(image, seal)));
  }

  get mayBeBootable(): boolean {
    return this.open.some((seal) => seal.bootable !== false);
  }

  /**
   * Makes the images of a tree that are wanted, and those in other formats that a seal may mean.
   * @returns that in the default format, when they are wanted.
   */
  make(root: Directory, bootable: boolean, mode: XattrFilter, wanted: boolean): ObjectId | undefined {
    const { erofsVersions } = this.#repository;
    const own = wanted ? erofsVersions : [];
    const ids = own.map((version) => {
      const id = storeImage(this.#repository, root, version);
      this.#link(version, bootable, mode, id, false);
      return id;
    });
    for (const version of [2, 1, 0] as const) {
      const open = this.open.filter((seal) => seal.bootable === undefined || seal.bootable === bootable);
      if (own.includes(version) || open.length === 0) continue;
      const isSealed = (id: ObjectId) => open.some((seal) => seal.id === id);
      const id = storeImageIf(this.#repository, root, version, isSealed);
      if (id !== undefined) this.#link(version, bootable, mode, id, true);
    }
    return ids[0];
  }

  /** Formats 0 and 1 share a reference: the default has it, unless the other one is sealed. */
  #link(version: ErofsVersion, bootable: boolean, mode: XattrFilter, id: ObjectId, sealed: boolean): void {
    const ref = findImageRef(version, bootable, mode);
    if (sealed || !this.#linked.has(ref.name)) this.#linked.set(ref.name, { ...ref, id });
  }
}
