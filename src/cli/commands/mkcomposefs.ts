import { CfsError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { type MkcomposefsDialect, mkcomposefs } from "../mkcomposefs.ts";

const NEWEST = 1;

/** `cfsctl mkcomposefs [OPTIONS] SOURCE [IMAGE]` */
export async function run(context: Context, args: Arguments): Promise<void> {
  await mkcomposefs(context, args, DIALECT);
}

/** As composefs-rs: the least version that is allowed, whatever is in the tree. */
const leastVersion: MkcomposefsDialect["version"] = (_, { min = 0, max = NEWEST }) => {
  if (min > NEWEST) {
    throw new CfsError(
      "Invalid",
      `--min-version ${min} is not supported; the maximum C-compatible version is ${NEWEST}`,
    );
  }
  if (min > max) {
    throw new CfsError(
      "Invalid",
      `Invalid version range: --min-version (${min}) must not exceed --max-version (${max})`,
    );
  }
  return min === 0 ? 0 : 1;
};

const DIALECT: MkcomposefsDialect = {
  version: leastVersion,
  filtersDumpfiles: true,
  anyPaths: false,
  replacesMarkers: false,
};
