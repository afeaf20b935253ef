import { WorkerPool } from "./pool.ts";

/** Work that one thread has done by then is not worth starting others. */
const ALONE_MS = 30;

export interface SharedWork<Result> {
  /** The job of a worker thread that takes part, in the table of `src/worker.ts`. */
  readonly job: string;
  /** What it is given: shared memory in it says what nobody has begun. */
  readonly payload: unknown;
  /** Takes part in this thread, until nothing is left or `performance.now` has come to the deadline. */
  readonly work: (deadlineMs: number) => Result;
  /** How many pieces nobody has begun. */
  readonly left: () => number;
}

/**
 * Does work that is split into many pieces with up to `jobs` threads, this one included. Others are asked only when
 * this one has not finished it in a moment.
 * @param aloneMs how long this moment is.
 * @returns what each part of the work gave.
 */
export async function workTogether<Result>(
  shared: SharedWork<Result>,
  jobs: number,
  aloneMs = ALONE_MS,
): Promise<Result[]> {
  const { job, payload, work, left } = shared;
  const first = work(jobs > 1 ? performance.now() + aloneMs : Number.POSITIVE_INFINITY);
  const helpers = Math.min(jobs - 1, left());
  if (helpers <= 0) return [first];
  await using pool = new WorkerPool(helpers);
  const others = pool.run<unknown, Result>(
    job,
    Array.from({ length: helpers }, () => payload),
  );
  // Should this thread fail, its error is the one that is told.
  others.catch(() => undefined);
  return [first, work(Number.POSITIVE_INFINITY), ...(await others)];
}
