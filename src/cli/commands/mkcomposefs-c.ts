import { CfsError } from "../../errors.ts";
import type { Directory } from "../../tree/model.ts";
import { directories, isWhiteout } from "../../tree/walk.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { type MkcomposefsDialect, mkcomposefs } from "../mkcomposefs.ts";

const NEWEST = 1;

/** `mkcomposefs [OPTIONS] SOURCE [IMAGE]`, called by this name. */
export async function run(context: Context, args: Arguments): Promise<void> {
  await mkcomposefs(context, args, DIALECT);
}

/**
 * As the program of composefs 1.0 does: version 1 for a tree with whiteouts, if that is allowed, else the least one. Who
 * gives one bound only gets 0 for the other, and an upper bound below the lower one is raised.
 */
const versionForTree: MkcomposefsDialect["version"] = (root, given) => {
  const isDefault = given.min === undefined && given.max === undefined;
  const min = given.min ?? 0;
  const max = Math.max(min, isDefault ? NEWEST : (given.max ?? 0));
  if (max > NEWEST) throw new CfsError("Invalid", `version ${max} is not known; the newest one is ${NEWEST}`);
  return min === 0 && !(max === NEWEST && hasWhiteouts(root)) ? 0 : 1;
};

function hasWhiteouts(root: Directory): boolean {
  for (const { entries } of directories(root))
    for (const node of entries.values()) if (node.kind === "leaf" && isWhiteout(node)) return true;
  return false;
}

const DIALECT: MkcomposefsDialect = {
  version: versionForTree,
  filtersDumpfiles: false,
  anyPaths: true,
  replacesMarkers: true,
};
