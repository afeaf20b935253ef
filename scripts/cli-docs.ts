/** Writes docs/cli.md from the declarations of the commands: `npx bun scripts/cli-docs.ts`. */
import { join } from "node:path";
import { ROOT } from "../src/cli/commands.ts";
import { renderHelp } from "../src/cli/help.ts";
import type { CommandSpec } from "../src/cli/tree.ts";

const WIDTH = 100;

export const CLI_DOCS = join(import.meta.dir, "..", "docs", "cli.md");

/** All commands with their help texts, as Markdown. */
export function cliDocs(): string {
  const sections = [...visible([ROOT])].map((path) => {
    const title = path.map((c) => c.name).join(" ");
    return `${"#".repeat(Math.min(4, path.length + 1))} ${title}\n\n\`\`\`text\n${helpText(path)}\`\`\`\n`;
  });
  return [
    "# Commands\n",
    "<!-- made by `npx bun scripts/cli-docs.ts` from src/cli/specs: edit there -->\n",
    "`cfsctl help COMMAND` shows the same texts. Global options may stand before or after the command's name.",
    "What exit codes mean: [exit-codes.md](exit-codes.md).\n",
    ...sections,
  ].join("\n");
}

function* visible(path: readonly CommandSpec[]): Generator<readonly CommandSpec[]> {
  yield path;
  for (const command of path[path.length - 1]!.subcommands ?? []) {
    if (!command.hidden) yield* visible([...path, command]);
  }
}

/** Of commands below the root without the global options, which are the same everywhere. */
function helpText(path: readonly CommandSpec[]): string {
  const text = renderHelp(path, true, WIDTH);
  return path.length === 1 ? text : text.replace(/\nGlobal options:\n[\s\S]*$/, "");
}

if (import.meta.main) await Bun.write(CLI_DOCS, cliDocs());
