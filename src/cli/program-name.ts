import { basename } from "node:path";

/** Other names under which this program can be called. */
const OTHERS: readonly string[] = ["mkcomposefs", "composefs-info"];

/** Which program this is, told by the name under which it was called. */
export function programName(argv0: string): string {
  const name = basename(argv0);
  return OTHERS.includes(name) ? name : "cfsctl";
}
