import { existsSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "./project.ts";

/** The built program. */
export const CFSCTL = process.env.CFSCTL ?? join(PROJECT, "dist", "cfsctl");

if (!existsSync(CFSCTL)) throw new Error(`${CFSCTL} is missing: build it with 'npm run build'`);

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment; undefined removes. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: Uint8Array | string;
  /** Name under which the program is called. */
  readonly argv0?: string;
  /** After this time it is killed; the code is then that of no exit. */
  readonly timeoutMs?: number;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const ownVariables = { CFSCTL_JOBS: undefined, COLUMNS: undefined, MAKEFLAGS: undefined };

/** Runs the built program as a user would. */
export function cfsctl(args: readonly string[], options: RunOptions = {}): RunResult {
  const { stdout, ...rest } = cfsctlBytes(args, options);
  return { ...rest, stdout: stdout.toString() };
}

/** As `cfsctl`, beside the test: for programs that talk to a server of the test. */
export async function runCfsctl(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return await run([CFSCTL, ...args], options);
}

/** Runs a program beside the test. */
export async function run(
  command: readonly string[],
  { cwd, env, stdin, timeoutMs }: Omit<RunOptions, "argv0"> = {},
): Promise<RunResult> {
  const child = Bun.spawn([...command], {
    ...(cwd !== undefined && { cwd }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs, killSignal: "SIGKILL" }),
    env: { ...process.env, ...ownVariables, ...env },
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, stdout, stderr };
}

/** As `cfsctl`, with the bytes of stdout. */
export function cfsctlBytes(
  args: readonly string[],
  { cwd, env, stdin, argv0, timeoutMs }: RunOptions = {},
): { readonly code: number; readonly stdout: Buffer; readonly stderr: string } {
  const result = Bun.spawnSync([CFSCTL, ...args], {
    ...(cwd !== undefined && { cwd }),
    ...(argv0 !== undefined && { argv0 }),
    ...(timeoutMs !== undefined && { timeout: timeoutMs, killSignal: "SIGKILL" }),
    env: { ...process.env, ...ownVariables, ...env },
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  return { code: result.exitCode, stdout: result.stdout, stderr: result.stderr.toString() };
}

/** As `cfsctl`, but fails the test when the program fails. Returns stdout. */
export function cfsctlOk(args: readonly string[], options: RunOptions = {}): string {
  const { code, stdout, stderr } = cfsctl(args, options);
  if (code !== 0) throw new Error(`cfsctl ${args.join(" ")}: exit code ${code}\n${stderr}`);
  return stdout;
}
