import { writeSync } from "node:fs";
import { versionLine } from "./cli/version.ts";

const words = process.argv.slice(2);
if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
  // nothing else is loaded: scripts ask this often
  writeSync(1, `${versionLine()}\n`);
  process.exit(0);
}

const { runProgram } = await import("./cli/run.ts");
const { ROOT } = await import("./cli/commands.ts");
await runProgram(ROOT, words);
