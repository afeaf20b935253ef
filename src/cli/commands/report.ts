import { basename, dirname } from "node:path";
import { NewFile } from "../../repository/new-file.ts";
import { O_DIRECTORY, O_RDONLY, open, pathBytes, writeAll } from "../../sys/file.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { presentTime } from "../present-time.ts";
import { reportPage } from "../report/page.ts";
import { openRepository } from "../repository.ts";
import { nameLargestFiles } from "../usage/largest.ts";
import { measureRepository } from "../usage/measure.ts";
import { versionLine } from "../version.ts";

const LARGEST_FILES = 30;

/** `cfsctl report --html FILE` */
export function run(context: Context, args: Arguments): void {
  const target = args.text("html")!;
  using repository = openRepository(context);
  const problems: string[] = [];
  const onUnreadable = (message: string) => {
    problems.push(message);
    context.err.warning(message);
  };
  const measured = measureRepository(repository, onUnreadable);
  const files = nameLargestFiles(repository, measured, LARGEST_FILES, onUnreadable);
  const page = reportPage({
    path: repository.path,
    algorithm: repository.algorithm.id,
    requiresVerity: repository.secure,
    measured,
    files,
    problems,
    written: `Written by ${versionLine()} at ${presentTime().toISOString().slice(0, 16).replace("T", " ")} UTC`,
  });
  if (target === "-") context.out.text(page);
  else writeFile(target, Buffer.from(page));
}

function writeFile(path: string, bytes: Uint8Array): void {
  using directory = open(dirname(path), O_RDONLY | O_DIRECTORY);
  using file = new NewFile(directory);
  writeAll(file.fd, bytes, path);
  file.place(pathBytes(basename(path)));
}
