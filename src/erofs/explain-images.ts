import { CfsError, describeError } from "../errors.ts";
import type { Directory } from "../tree/model.ts";
import type { Algorithm, ObjectId } from "../verity/digest.ts";
import { fsVerityDigest } from "../verity/merkle.ts";
import { checkCanonical } from "./canonical.ts";
import { compareLayouts, type LayoutDifference } from "./compare-layout.ts";
import type { FormatVersion } from "./format.ts";
import { writeImage } from "./writer.ts";

/** An image, or a tree of which one can be made. */
export interface ImageSource {
  readonly root: Directory;
  readonly algorithm: Algorithm;
  readonly image: { readonly version: FormatVersion; read(): Uint8Array<ArrayBuffer> } | undefined;
}

/** What there is to say about the image of one side. */
export interface ImageFacts {
  readonly id: ObjectId;
  readonly algorithm: Algorithm;
  readonly format: FormatVersion;
  readonly size: number;
  /** It was made of a tree only now, in the format of the other image. */
  readonly isMade: boolean;
  /** Why it is not what its tree gives when written; undefined when it is. Known of images that differ. */
  readonly oddity: string | undefined;
}

export interface ImageComparison {
  readonly expected: ImageFacts;
  readonly found: ImageFacts;
  /** Empty when both images are the same. */
  readonly differences: readonly LayoutDifference[];
}

/**
 * Compares the images of two trees that are the same as far as their files go, and finds out why their digests differ
 * if they do.
 * @param fallback format of the images when neither side has one.
 * @throws CfsError Invalid, Unsupported for a tree that no image can hold
 */
export function explainImages(
  expected: ImageSource,
  found: ImageSource,
  fallback: FormatVersion,
): ImageComparison {
  const version = expected.image?.version ?? found.image?.version ?? fallback;
  const bytesOf = ({ root, algorithm, image }: ImageSource) =>
    image?.read() ?? writeImage(root, version, algorithm);
  const [a, b] = [bytesOf(expected), bytesOf(found)];
  const isSame = expected.algorithm === found.algorithm && Buffer.compare(a, b) === 0;
  const factsOf = (side: ImageSource, bytes: Uint8Array<ArrayBuffer>): ImageFacts => ({
    id: fsVerityDigest(bytes, side.algorithm),
    algorithm: side.algorithm,
    format: side.image?.version ?? version,
    size: bytes.length,
    isMade: side.image === undefined,
    oddity: isSame || side.image === undefined ? undefined : oddityOf(bytes, side.algorithm),
  });
  return {
    expected: factsOf(expected, a),
    found: factsOf(found, b),
    differences: isSame
      ? []
      : compareLayouts({ bytes: a, algorithm: expected.algorithm }, { bytes: b, algorithm: found.algorithm }),
  };
}

function oddityOf(bytes: Uint8Array, algorithm: Algorithm): string | undefined {
  try {
    checkCanonical(bytes, algorithm);
    return undefined;
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return describeError(error);
  }
}
