import { writeSync } from "node:fs";
import { isCompletionRequest } from "./cli/completion/request.ts";
import { restartWithEngineOptions } from "./cli/engine-options.ts";
import { programName } from "./cli/program-name.ts";
import { versionLine } from "./cli/version.ts";

const name = programName(process.argv0);
const words = process.argv.slice(2);
if (words.length === 1 && (words[0] === "--version" || words[0] === "-V")) {
  // nothing else is loaded: scripts ask this often
  writeSync(1, `${versionLine(name)}\n`);
  process.exit(0);
}

if (name === "cfsctl" && isCompletionRequest()) {
  const { answerShell } = await import("./cli/completion/protocol.ts");
  process.exit(answerShell(words));
}

restartWithEngineOptions(name, words);
const { runProgram } = await import("./cli/run.ts");
const { programNamed } = await import("./cli/personalities.ts");
await runProgram(programNamed(name), words);
