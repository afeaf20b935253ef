import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { ROOT } from "../../src/cli/commands.ts";
import type { Context } from "../../src/cli/context.ts";
import { failureOf } from "../../src/cli/errors.ts";
import { MessageOutput, Output } from "../../src/cli/output.ts";
import { parseCommandLine } from "../../src/cli/parse.ts";
import { makeProgress } from "../../src/cli/progress.ts";
import { findCommand } from "../../src/cli/tree.ts";
import { versionLine } from "../../src/cli/version.ts";

export const FIXTURES = join(import.meta.dir, "../../fixtures/repository");

/** A command of a case and what composefs-rs 0.9.4 answered. */
export interface Step {
  argv: string[];
  rc: number;
  stdout?: string;
  stdout_hex?: string;
  stdout_sha256?: string;
  stdout_unordered_lines?: boolean;
  stdout_varies?: boolean;
  stdin?: string;
  stdin_hex?: string;
}

export interface Case {
  name: string;
  repo?: string | null;
  inputs?: string[] | null;
  env?: Record<string, string> | null;
  meta_json?: string;
  steps: Step[];
  tree_after?: string[];
}

export interface Answer {
  rc: number;
  stdout: Buffer;
  stderr: string;
}

export type Runner = (step: Step, directory: string) => Promise<Answer>;

export function readCases(area: string): Case[] {
  return JSON.parse(readFileSync(join(FIXTURES, "cases", `${area}.json`), "utf8"));
}

/** Unpacks what a case starts from into an empty directory. */
export function prepare(testCase: Case, directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const archive of [testCase.repo, ...(testCase.inputs ?? []).map((text) => text.split(" ")[0])]) {
    if (archive === undefined || archive === null) continue;
    const result = Bun.spawnSync(["tar", "-xzpf", join(FIXTURES, archive), "-C", directory]);
    if (!result.success) throw new Error(`tar: ${result.stderr}`);
  }
  if (testCase.meta_json !== undefined) writeFileSync(join(directory, "r/meta.json"), testCase.meta_json);
}

/** Whether the step's command exists in this version; a usage error is one either way. */
export function isKnown({ argv, rc }: Step): boolean {
  if (rc === 2) return true;
  const takesValue = new Set(["--repo", "--hash", "--erofs-version"]);
  let commands = ROOT.subcommands;
  for (let i = 0; i < argv.length && commands !== undefined; i++) {
    const word = argv[i]!;
    if (takesValue.has(word)) i++;
    if (word.startsWith("-")) continue;
    const command = findCommand(commands, word);
    if (command === undefined) return false;
    commands = command.subcommands;
  }
  return true;
}

class CapturedOutput extends Output {
  readonly pieces: Buffer[] = [];
  override text(text: string): void {
    this.pieces.push(Buffer.from(text));
  }
  override bytes(bytes: Uint8Array): void {
    this.pieces.push(Buffer.from(bytes));
  }
  override flush(): void {}
}

class CapturedMessages extends MessageOutput {
  text_ = "";
  override text(text: string): void {
    this.text_ += text;
  }
  override raw(text: string): void {
    this.text_ += text;
  }
}

/** Runs a command in this process, its working directory being the case's. */
export const inProcess: Runner = async (step, directory) => {
  const out = new CapturedOutput(1);
  const err = new CapturedMessages(2, out);
  const before = process.cwd();
  process.chdir(directory);
  let rc = 0;
  try {
    const invocation = parseCommandLine(ROOT, step.argv, {});
    if (invocation.kind === "incomplete") rc = 2;
    if (invocation.kind === "version") out.line(versionLine());
    if (invocation.kind === "run") {
      const { globals, args, path } = invocation;
      const context: Context = { globals, out, err, progress: makeProgress("none", err) };
      await (await path.at(-1)!.load!()).run(context, args);
    }
  } catch (error) {
    const failure = failureOf(error, false);
    rc = failure.code;
    err.raw(failure.text);
  } finally {
    process.chdir(before);
  }
  return { rc, stdout: Buffer.concat(out.pieces), stderr: err.text_ };
};

/** Runs a program: the compiled one, or this source with Bun. */
export function spawned(...program: string[]): Runner {
  return async (step, directory) => {
    // `stdin` is `FILE (gunzipped)`.
    const archive = step.stdin?.split(" ")[0];
    const stdin =
      archive === undefined
        ? Buffer.from(step.stdin_hex ?? "", "hex")
        : gunzipSync(readFileSync(join(FIXTURES, archive)));
    const child = Bun.spawn([...program, ...step.argv], {
      cwd: directory,
      stdin,
      stdout: "pipe",
      stderr: "pipe",
      env: { ...process.env, HOME: "/nonexistent-home" },
    });
    const [stdout, stderr] = await Promise.all([
      new Response(child.stdout).arrayBuffer(),
      new Response(child.stderr).text(),
    ]);
    return { rc: await child.exited, stdout: Buffer.from(stdout), stderr };
  };
}

/** `d MODE PATH`, `f MODE SIZE PATH` and `l PATH -> TARGET` of everything below a directory, sorted by path. */
export function treeOf(directory: string, below = ""): string[] {
  return readdirSync(join(directory, below))
    .sort()
    .flatMap((name) => {
      const path = join(below, name);
      const status = lstatSync(join(directory, path));
      const mode = (status.mode & 0o7777).toString(8).padStart(4, "0");
      if (status.isSymbolicLink()) return [`l ${path} -> ${readlinkSync(join(directory, path))}`];
      if (status.isDirectory()) return [`d ${mode} ${path}`, ...treeOf(directory, path)];
      return [`f ${mode} ${status.size} ${path}`];
    });
}
