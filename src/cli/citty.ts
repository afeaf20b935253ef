import { type CommandDef, defineCommand } from "citty";
import type { CommandSpec } from "./tree.ts";

export interface Hooks {
  /** Runs one command. */
  run(command: CommandSpec): Promise<void>;
  /** Runs after the command, whether it failed or not. */
  cleanup(): void;
}

/**
 * The tree as citty knows it. Parsing is ours and strict; citty finds the command by its path, loads it and sees to
 * the cleaning up.
 */
export function toCitty(root: CommandSpec, hooks: Hooks): CommandDef {
  return { ...define(root, hooks), cleanup: () => hooks.cleanup() };
}

function define(command: CommandSpec, hooks: Hooks): CommandDef {
  const { name, aliases, hidden, summary, subcommands } = command;
  return defineCommand({
    meta: { name, alias: [...(aliases ?? [])], hidden: hidden ?? false, description: summary },
    ...(subcommands === undefined
      ? { run: () => hooks.run(command) }
      : { subCommands: Object.fromEntries(subcommands.map((c) => [c.name, () => define(c, hooks)])) }),
  });
}
