import { type ByteString, display } from "../bytes.ts";
import type { ObjectId } from "../verity/digest.ts";
import type { Category } from "./names.ts";

/** An entry of `streams/` or `images/`, or a ref below: its name may have slashes then. */
export interface LinkName {
  readonly category: Category;
  /** Below `streams/` or `images/`: `NAME` or `refs/PATH`. */
  readonly name: ByteString;
}

/** One thing that a check found to be wrong. */
export interface Finding {
  /** As composefs-rs calls it, where it finds it too: `object-digest-mismatch`, `broken-symlink`, … */
  readonly kind: string;
  /** What is wrong, as a path below the repository. */
  readonly path: ByteString;
  /** What is wrong with it, in words. */
  readonly detail?: string | undefined;
  /** Why, where `detail` is what composefs-rs says, and that says nothing. */
  readonly cause?: string | undefined;
  /** The object that is damaged or missing. */
  readonly object?: ObjectId | undefined;
  /** The link that is wrong, or that leads to what is wrong. */
  readonly link?: LinkName | undefined;
}

/** `kind: path: detail` */
export function lineOf({ kind, path, detail }: Finding): string {
  return `${kind}: ${display(path)}${detail === undefined ? "" : `: ${detail}`}`;
}
