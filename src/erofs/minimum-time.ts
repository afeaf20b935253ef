import type { ImagePlan } from "./plan.ts";

/** The time of compact inodes, which carry none of their own. */
export interface Time {
  mtime: bigint;
  /** The same as a number where it is exact and not negative, else -1. */
  seconds: number;
  mtimeNsec: number;
}

/** The least (seconds, nanoseconds), where seconds compare as unsigned numbers. */
export function minimumTime(plan: ImagePlan): Time {
  const { nodes, inodeCount } = plan;
  let seconds = Number.POSITIVE_INFINITY;
  let nsec = 0;
  for (let inode = 0; inode < inodeCount; inode++) {
    const { mtime, mtimeNsec } = nodes[inode]!.stat;
    const s = Number(mtime);
    if (s >= 0 && (s < seconds || (s === seconds && mtimeNsec < nsec))) {
      seconds = s;
      nsec = mtimeNsec;
    }
  }
  if (seconds <= Number.MAX_SAFE_INTEGER) return { mtime: BigInt(seconds), seconds, mtimeNsec: nsec };
  // Only times before 1970 or beyond 2^53 seconds: rare enough for exact arithmetic on all of them.
  let least = BigInt.asUintN(64, nodes[0]!.stat.mtime);
  nsec = nodes[0]!.stat.mtimeNsec;
  for (let inode = 0; inode < inodeCount; inode++) {
    const { mtime, mtimeNsec } = nodes[inode]!.stat;
    const unsigned = BigInt.asUintN(64, mtime);
    if (unsigned < least || (unsigned === least && mtimeNsec < nsec)) {
      least = unsigned;
      nsec = mtimeNsec;
    }
  }
  return { mtime: BigInt.asIntN(64, least), seconds: -1, mtimeNsec: nsec };
}
