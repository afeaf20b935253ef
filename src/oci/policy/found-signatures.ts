import { CfsError, describeError, kindOf } from "../../errors.ts";

/** Signatures of one image that are looked at. */
export const MAX_SIGNATURES = 64;
/** Bytes of each. */
export const MAX_SIGNATURE_SIZE = 4 * 1024 * 1024;

/** What was found that may be a signature. */
export interface FoundSignature<T> {
  /** For messages. */
  readonly from: string;
  readonly content: T;
}

/** Signatures, and where they were looked for. */
export interface Search<T> {
  readonly places: readonly string[];
  readonly signatures: readonly FoundSignature<T>[];
}

/** Collects what is found, up to the limit. */
export class Finder<T> implements Search<T> {
  readonly places: string[] = [];
  readonly signatures: FoundSignature<T>[] = [];

  /** @throws CfsError Invalid when there are too many. */
  add(from: string, content: T): void {
    if (this.signatures.length === MAX_SIGNATURES)
      throw new CfsError("Invalid", `there are more than ${MAX_SIGNATURES} signatures`);
    this.signatures.push({ from, content });
  }
}

/** As many are told of in a message. */
const MAX_REASONS = 3;

/**
 * Looks for a signature that is accepted: one is enough.
 * @param problemOf why one is not accepted; undefined when it is. An error is a reason, too.
 * @returns why there is none; undefined when there is one.
 */
export function problemOfAll<T>(
  { places, signatures }: Search<T>,
  problemOf: (content: T) => string | undefined,
): string | undefined {
  if (signatures.length === 0) return `no signature found ${places.join(" or ")}`;
  const reasons = new Set<string>();
  for (const { from, content } of signatures) {
    const problem = asProblem(() => problemOf(content));
    if (problem === undefined) return undefined;
    reasons.add(`${from}: ${problem}`);
  }
  const shown = [...reasons].slice(0, MAX_REASONS).join("; ");
  return reasons.size > MAX_REASONS ? `${shown}; and ${reasons.size - MAX_REASONS} more` : shown;
}

/** Whatever is wrong with a document that was downloaded makes it no signature, and nothing worse. */
export function asProblem(action: () => string | undefined): string | undefined {
  try {
    return action();
  } catch (error) {
    if (kindOf(error) === undefined) throw error;
    return describeError(error);
  }
}
