import { workTogether } from "../parallel/together.ts";
import { algorithmOf, type HashName } from "../verity/digest.ts";
import type { Finding } from "./findings.ts";
import { OBJECT_DIRECTORIES, ObjectChecker } from "./object-check.ts";

/** What the threads need to check objects together. */
export interface ObjectsToCheck {
  /** Descriptor of `objects/`, valid in all threads of the process. */
  readonly objects: number;
  readonly hash: HashName;
  readonly secure: boolean;
}

export interface ObjectsCheck {
  readonly checked: number;
  readonly findings: Finding[];
}

/** `next` holds the number of the next directory that nobody has begun. */
export interface CheckObjectsPayload extends ObjectsToCheck {
  readonly next: SharedArrayBuffer;
}

/** The job of a worker thread: checks directory after directory until none is left. */
export function checkObjects(payload: CheckObjectsPayload): ObjectsCheck {
  return checkUntil(payload, Number.POSITIVE_INFINITY);
}

/** @param deadlineMs as `performance.now` tells the time. */
function checkUntil(payload: CheckObjectsPayload, deadlineMs: number): ObjectsCheck {
  const checker = new ObjectChecker(algorithmOf(payload.hash), payload.secure);
  const next = new Int32Array(payload.next);
  let checked = 0;
  const findings: Finding[] = [];
  while (performance.now() < deadlineMs) {
    const xx = OBJECT_DIRECTORIES[Atomics.add(next, 0, 1)];
    if (xx === undefined) break;
    const result = checker.checkDirectory(payload.objects, xx);
    checked += result.checked;
    findings.push(...result.findings);
  }
  return { checked, findings };
}

/**
 * Checks all objects with up to `jobs` threads, this one included.
 * @param aloneMs how long this thread works before it asks others for help.
 */
export async function checkAllObjects(
  what: ObjectsToCheck,
  jobs: number,
  aloneMs?: number,
): Promise<ObjectsCheck> {
  const payload: CheckObjectsPayload = { ...what, next: new SharedArrayBuffer(4) };
  const parts = await workTogether(
    {
      job: "check-objects",
      payload,
      work: (deadlineMs) => checkUntil(payload, deadlineMs),
      left: () => OBJECT_DIRECTORIES.length - Atomics.load(new Int32Array(payload.next), 0),
    },
    jobs,
    aloneMs,
  );
  return {
    checked: parts.reduce((sum, part) => sum + part.checked, 0),
    findings: parts.flatMap((part) => part.findings),
  };
}
