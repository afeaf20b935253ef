import { CfsError } from "../errors.ts";
import type { CommandSpec } from "./tree.ts";

/** The command line can't be understood: exit code 2, with the usage line of the command it was meant for. */
export class UsageError extends CfsError {
  readonly path: readonly CommandSpec[];

  constructor(path: readonly CommandSpec[], message: string, hint?: string) {
    super("Usage", message, hint === undefined ? {} : { hint });
    this.path = path;
  }
}

/** The candidate that `word` was most likely meant to be (its beginning, or misspelled), or undefined. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const words = [...candidates];
  if (word.length > 1) {
    const beginning = words.filter((c) => c.startsWith(word));
    if (beginning.length === 1) return beginning[0];
  }
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of words) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one word into the other. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(replace, last[j]! + 1, row[j - 1]! + 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length]!;
}
