import { ROOT } from "./commands.ts";
import { COMPOSEFS_INFO_COMMAND, MKCOMPOSEFS_COMMAND } from "./specs/composefs.ts";
import type { CommandSpec } from "./tree.ts";

/** Programs that this one is when it is called by their names, in which they differ from the commands. */
const PERSONALITIES: readonly CommandSpec[] = [
  { ...MKCOMPOSEFS_COMMAND, isProgram: true, load: () => import("./commands/mkcomposefs-c.ts") },
  { ...COMPOSEFS_INFO_COMMAND, isProgram: true, load: () => import("./commands/composefs-info-c.ts") },
];

/** The program of this name. */
export function programNamed(name: string): CommandSpec {
  return PERSONALITIES.find((program) => program.name === name) ?? ROOT;
}
