import { CfsError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { type ChooseVersion, mkcomposefs } from "../mkcomposefs.ts";

const NEWEST = 1;

/** `cfsctl mkcomposefs [OPTIONS] SOURCE [IMAGE]` */
export async function run(context: Context, args: Arguments): Promise<void> {
  await mkcomposefs(context, args, leastVersion);
}

/** As composefs-rs does: the least version that is allowed, whatever is in the tree. */
const leastVersion: ChooseVersion = (_, { min = 0, max = NEWEST }) => {
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
