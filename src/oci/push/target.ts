import type { Descriptor } from "../descriptor.ts";
import type { OciDigest } from "../digest.ts";
import type { PublishedDocument } from "../source.ts";

/** A blob that is ready to be published: the file's bytes have been compared with the digest. */
export interface ReadyBlob {
  readonly digest: OciDigest;
  /** Bytes: the whole file. */
  readonly size: number;
  readonly fd: number;
  /** The file has no name and was made in the target's `temporaryDirectory`: the target may keep it. */
  readonly isTemporary: boolean;
}

/** How a blob came to be in the target. */
export type BlobOutcome = "written" | "present" | "mounted";

/** A manifest or index, and what it speaks of. */
export interface Publication extends PublishedDocument {
  readonly subject: Descriptor | undefined;
  /** Type, annotations and so on that a list of referrers would show. */
  readonly artifactType: string | undefined;
  readonly annotations: ReadonlyMap<string, string>;
}

/** Where an image is pushed to. */
export interface PushTarget extends AsyncDisposable {
  /** As the user wrote it. */
  readonly label: string;
  /** Blobs have to be given one after another, in the order of the image. */
  readonly inOrder: boolean;
  /** Descriptor of the directory for files without a name. */
  readonly temporaryDirectory: number;
  /** Whether a blob is there already, or can be had without its bytes being sent. @param size when it is known. */
  findBlob(digest: OciDigest, size: number | undefined): Promise<"present" | "mounted" | undefined>;
  putBlob(blob: ReadyBlob): Promise<void>;
  /** Ends what is under way: something else has failed. */
  abort(): void;
  /** A document that another one names by its digest. */
  putDocument(document: Publication): Promise<void>;
  /** The document that the user's reference is to name. Everything that it needs is there. */
  publish(document: Publication): Promise<void>;
}
