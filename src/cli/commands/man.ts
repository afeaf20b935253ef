import { mkdirSync } from "node:fs";
import { CfsError } from "../../errors.ts";
import { NewFile } from "../../repository/new-file.ts";
import { O_DIRECTORY, O_RDONLY, open, pathBytes, writeAll } from "../../sys/file.ts";
import type { Arguments } from "../arguments.ts";
import { ROOT } from "../commands.ts";
import type { Context } from "../context.ts";
import { manPage, pageName } from "../man-page.ts";
import { presentTime } from "../present-time.ts";
import { type CommandSpec, findCommand } from "../tree.ts";
import { versionLine } from "../version.ts";

/** `cfsctl man [COMMAND…]` */
export function run({ out }: Context, args: Arguments): void {
  const path = commandPath(args.rest("COMMAND"));
  const directory = args.text("output");
  const facts = { version: versionLine(), date: presentTime().toISOString().slice(0, 10) };
  if (directory === undefined) out.text(manPage(path, facts));
  else {
    mkdirSync(directory, { recursive: true });
    for (const page of visiblePaths(path))
      writePage(directory, `${pageName(page)}.1`, Buffer.from(manPage(page, facts)));
  }
}

/** @throws CfsError Usage */
function commandPath(words: readonly string[]): CommandSpec[] {
  const path: CommandSpec[] = [ROOT];
  for (const word of words) {
    const command = findCommand(path.at(-1)!.subcommands ?? [], word);
    if (command === undefined)
      throw new CfsError("Usage", `there is no command '${words.join(" ")}'`, {
        hint: "`cfsctl --help` lists the commands",
      });
    path.push(command);
  }
  return path;
}

function* visiblePaths(path: readonly CommandSpec[]): Generator<readonly CommandSpec[]> {
  yield path;
  for (const command of path.at(-1)!.subcommands ?? [])
    if (command.hidden !== true) yield* visiblePaths([...path, command]);
}

function writePage(directory: string, name: string, page: Uint8Array): void {
  using opened = open(directory, O_RDONLY | O_DIRECTORY);
  using file = new NewFile(opened);
  writeAll(file.fd, page, `${directory}/${name}`);
  file.place(pathBytes(name));
}
