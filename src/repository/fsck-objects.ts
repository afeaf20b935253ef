import { WorkerPool } from "../parallel/pool.ts";
import { algorithmOf, type HashName } from "../verity/digest.ts";
import { preferSystemSha512 } from "./fast-hash.ts";
import { OBJECT_DIRECTORIES, ObjectChecker, type ObjectError } from "./object-check.ts";

/** What the threads need to check objects together. */
export interface ObjectsToCheck {
  /** Descriptor of `objects/`, valid in all threads of the process. */
  readonly objects: number;
  readonly hash: HashName;
  readonly secure: boolean;
}

export interface ObjectsCheck {
  readonly checked: number;
  readonly errors: ObjectError[];
}

/** `next` holds the number of the next directory that nobody has begun. */
export interface CheckObjectsPayload extends ObjectsToCheck {
  readonly next: SharedArrayBuffer;
}

/** A repository that one thread has checked by then is not worth starting others. */
const ALONE_MS = 30;

/** The job of a worker thread: checks directory after directory until none is left. */
export function checkObjects(payload: CheckObjectsPayload): ObjectsCheck {
  return checkUntil(payload, Number.POSITIVE_INFINITY);
}

/** @param deadlineMs as `performance.now` tells the time. */
function checkUntil(payload: CheckObjectsPayload, deadlineMs: number): ObjectsCheck {
  if (payload.hash === "sha512") preferSystemSha512();
  const checker = new ObjectChecker(algorithmOf(payload.hash), payload.secure);
  const next = new Int32Array(payload.next);
  let checked = 0;
  const errors: ObjectError[] = [];
  while (performance.now() < deadlineMs) {
    const xx = OBJECT_DIRECTORIES[Atomics.add(next, 0, 1)];
    if (xx === undefined) break;
    const result = checker.checkDirectory(payload.objects, xx);
    checked += result.checked;
    errors.push(...result.errors);
  }
  return { checked, errors };
}

/**
 * Checks all objects with up to `jobs` threads, this one included.
 * @param aloneMs how long this thread works before it asks others for help.
 */
export async function checkAllObjects(
  what: ObjectsToCheck,
  jobs: number,
  aloneMs = ALONE_MS,
): Promise<ObjectsCheck> {
  const payload: CheckObjectsPayload = { ...what, next: new SharedArrayBuffer(4) };
  const parts: ObjectsCheck[] = [];
  const mayGetHelp = jobs > 1;
  parts.push(checkUntil(payload, mayGetHelp ? performance.now() + aloneMs : Number.POSITIVE_INFINITY));
  if (mayGetHelp && Atomics.load(new Int32Array(payload.next), 0) < OBJECT_DIRECTORIES.length) {
    await using pool = new WorkerPool(jobs - 1);
    const payloads = Array.from({ length: jobs - 1 }, () => payload);
    const others = pool.run<CheckObjectsPayload, ObjectsCheck>("check-objects", payloads);
    // Should this thread fail, the others' result is of no interest, but must not become an unhandled rejection.
    others.catch(() => undefined);
    parts.push(checkObjects(payload));
    parts.push(...(await others));
  }
  return {
    checked: parts.reduce((sum, part) => sum + part.checked, 0),
    errors: parts.flatMap((part) => part.errors),
  };
}
