import type { Repository } from "../../repository/repository.ts";
import type { PublishedIndex } from "../index-format.ts";
import type { ObjectSizes } from "../object-sizes.ts";

/** How much was done to objects. */
export interface ObjectAmount {
  objects: number;
  bytes: number;
}

/** Where a repository is published. Steps are to be done in the order in which they stand here. */
export interface PublishTarget extends AsyncDisposable {
  /**
   * What is published there; an index of nothing where nothing is. The place is from then on one for a published copy.
   * @throws CfsError Exists when there is something else
   */
  open(repository: Repository): Promise<PublishedIndex>;
  /** Of some objects, those that are not there. */
  missing(objects: ObjectSizes): Promise<ObjectSizes>;
  /**
   * Copies objects, each of which is read and compared with its digest.
   * @param onBytes told how many bytes have been copied.
   */
  copyObjects(repository: Repository, objects: ObjectSizes, onBytes: (bytes: number) => void): Promise<void>;
  /** Makes links for what an index lists, streams and images before refs. Others stay. */
  link(repository: Repository, index: PublishedIndex): Promise<void>;
  /** From then on readers see what the index says. */
  writeIndex(index: PublishedIndex): Promise<void>;
  /** Removes what an index does not list, and objects that nothing in it needs. */
  prune(index: PublishedIndex, objects: ObjectSizes): Promise<ObjectAmount>;
}
