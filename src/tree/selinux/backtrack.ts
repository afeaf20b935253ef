import type { ByteString } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { otherCase, type Pattern } from "./pattern.ts";

/** Attempts for one subject, after which a pattern is given up: some take exponential time. */
const MAX_ATTEMPTS = 1_000_000;
/** Attempts for all subjects and patterns together. */
const MAX_ALL_ATTEMPTS = 50_000_000;

/** What the patterns of a policy may cost together. */
export class Effort {
  #left = MAX_ALL_ATTEMPTS;

  /** @returns whether this was too much. */
  spend(attempts: number): boolean {
    this.#left -= attempts;
    return this.#left < 0;
  }
}

type Continue = (at: number) => boolean;
/** Calls `go` with every place where a match from `at` can end, until it returns true. */
type Matcher = (run: Run, at: number, go: Continue) => boolean;

class Run {
  readonly subject: ByteString;
  /** Begin and end of groups, by 2 × number. */
  readonly captures: (number | undefined)[] = [];
  readonly #effort: Effort;
  #attempts = 0;

  constructor(subject: ByteString, effort: Effort) {
    this.subject = subject;
    this.#effort = effort;
  }

  /** -1 before the beginning and behind the end. */
  byteAt(at: number): number {
    return at >= 0 && at < this.subject.length ? this.subject.charCodeAt(at) : -1;
  }

  count(attempts = 1): void {
    this.#attempts += attempts;
    if (this.#effort.spend(attempts) || this.#attempts > MAX_ATTEMPTS) throw tooCostly(this.subject);
  }
}

/** Whether a pattern, which may look around and refer back, matches in a subject. */
export type Search = (subject: ByteString) => boolean;

/** @param anchored it has to match at the beginning, not just anywhere. */
export function compileSearch(pattern: Pattern, anchored: boolean, effort: Effort): Search {
  const matcher = compile(pattern);
  return (subject) => {
    const run = new Run(subject, effort);
    try {
      for (let at = 0; at <= (anchored ? 0 : subject.length); at++) {
        run.count();
        run.captures.length = 0;
        if (matcher(run, at, () => true)) return true;
      }
      return false;
    } catch (error) {
      // The stack has ended before the attempts have.
      if (error instanceof RangeError) throw tooCostly(subject);
      throw error;
    }
  };
}

function compile(pattern: Pattern): Matcher {
  switch (pattern.kind) {
    case "set": {
      const { set } = pattern;
      return (run, at, go) => at < run.subject.length && set[run.byteAt(at)] === 1 && go(at + 1);
    }
    case "sequence":
      return compileSequence(pattern.parts.map(compile));
    case "either": {
      const parts = pattern.parts.map(compile);
      return (run, at, go) => {
        run.count();
        return parts.some((part) => part(run, at, go));
      };
    }
    case "repeat":
      return compileRepeat(pattern);
    case "group":
      return compileGroup(compile(pattern.part), pattern.index);
    case "assertion": {
      const { holds } = pattern;
      return (run, at, go) => holds(run.byteAt(at - 1), run.byteAt(at)) && go(at);
    }
    case "look":
      return compileLook(compile(pattern.part), pattern.behind, pattern.negative);
    case "atomic":
      return compileAtomic(compile(pattern.part));
    case "reference":
      return compileReference(pattern.index, pattern.ignoreCase);
  }
}

function compileSequence(parts: readonly Matcher[]): Matcher {
  const from = (run: Run, index: number, at: number, go: Continue): boolean =>
    index === parts.length ? go(at) : parts[index]!(run, at, (end) => from(run, index + 1, end, go));
  return (run, at, go) => from(run, 0, at, go);
}

function compileRepeat({ part, min, max, possessive }: Extract<Pattern, { kind: "repeat" }>): Matcher {
  if (possessive) return compileAtomic(compileRepeat({ kind: "repeat", part, min, max, possessive: false }));
  if (part.kind === "set") {
    const { set } = part;
    return (run, at, go) => {
      let end = at;
      while (end - at < max && end < run.subject.length && set[run.byteAt(end)] === 1) end++;
      // Long runs are looked at fast, but not for nothing.
      run.count(1 + ((end - at) >> 4));
      for (; end - at >= min; end--) {
        run.count();
        if (go(end)) return true;
      }
      return false;
    };
  }
  const matcher = compile(part);
  const more = (run: Run, done: number, at: number, go: Continue): boolean => {
    run.count();
    // A repetition that took nothing would go on for ever.
    const again = (end: number) => (end !== at || done < min) && more(run, done + 1, end, go);
    return (done < max && matcher(run, at, again)) || (done >= min && go(at));
  };
  return (run, at, go) => more(run, 0, at, go);
}

function compileGroup(part: Matcher, index: number): Matcher {
  return (run, at, go) => {
    const { captures } = run;
    const first = captures[2 * index];
    const last = captures[2 * index + 1];
    const found = part(run, at, (end) => {
      const inner = [captures[2 * index], captures[2 * index + 1]] as const;
      captures[2 * index] = at;
      captures[2 * index + 1] = end;
      if (go(end)) return true;
      captures[2 * index] = inner[0];
      captures[2 * index + 1] = inner[1];
      return false;
    });
    if (!found) {
      captures[2 * index] = first;
      captures[2 * index + 1] = last;
    }
    return found;
  };
}

function compileLook(part: Matcher, behind: boolean, negative: boolean): Matcher {
  const holds = (run: Run, at: number): boolean => {
    if (!behind) return part(run, at, () => true);
    for (let start = at; start >= 0; start--) {
      run.count();
      if (part(run, start, (end) => end === at)) return true;
    }
    return false;
  };
  return (run, at, go) => {
    const saved = [...run.captures];
    const restore = () => {
      run.captures.length = 0;
      run.captures.push(...saved);
    };
    const found = holds(run, at);
    if (negative) {
      restore();
      return !found && go(at);
    }
    if (found && go(at)) return true;
    restore();
    return false;
  };
}

/** The first way in which the part matches is the only one. */
function compileAtomic(part: Matcher): Matcher {
  return (run, at, go) => {
    const saved = [...run.captures];
    let end: number | undefined;
    const found = part(run, at, (reached) => {
      end = reached;
      return true;
    });
    if (found && go(end!)) return true;
    run.captures.length = 0;
    run.captures.push(...saved);
    return false;
  };
}

function compileReference(index: number, ignoreCase: boolean): Matcher {
  return (run, at, go) => {
    const first = run.captures[2 * index];
    const last = run.captures[2 * index + 1];
    // What has not been set matches nothing, not even the empty text.
    if (first === undefined || last === undefined) return false;
    for (let i = 0; i < last - first; i++) {
      const expected = run.byteAt(first + i);
      const found = run.byteAt(at + i);
      if (found !== expected && !(ignoreCase && found !== -1 && otherCase(found) === expected)) return false;
    }
    return go(at + last - first);
  };
}

function tooCostly(subject: ByteString): CfsError {
  return new CfsError(
    "Unsupported",
    `a regular expression of the SELinux policy takes too long to match a path of ${subject.length - 1} bytes`,
  );
}
