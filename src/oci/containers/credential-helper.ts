import { CfsError } from "../../errors.ts";
import { optionalString, parseJsonObject } from "../json.ts";
import type { Credentials } from "../registry/types.ts";

const MAX_OUTPUT = 1024 * 1024;
/** It may have to ask the user for a passphrase. */
const TIMEOUT_MS = 120_000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** What helpers answer, with an exit code, when they know nothing. */
const NOT_FOUND = /credentials not found/i;

/**
 * Asks `docker-credential-NAME` for the credentials of a registry: its name on stdin, a JSON object on stdout.
 * @returns undefined when the helper has none.
 * @throws CfsError Invalid for a bad name or answer, NotFound when there is no such program, Io when it fails
 */
export async function askCredentialHelper(
  name: string,
  host: string,
  environment: Readonly<Record<string, string | undefined>>,
  timeoutMs = TIMEOUT_MS,
): Promise<Credentials | undefined> {
  if (!NAME.test(name))
    throw new CfsError("Invalid", `${JSON.stringify(name)} is no name of a credential helper`);
  const program = `docker-credential-${name}`;
  const path = findCredentialHelper(name, environment);
  if (path === undefined) {
    throw new CfsError("NotFound", `the credential helper ${program} for ${host} is not installed`, {
      hint: `install ${program}, or log in with a tool that stores credentials in auth.json`,
    });
  }
  const { output, code } = await run([path, "get"], host, environment, program, timeoutMs);
  if (code !== 0) {
    if (NOT_FOUND.test(output)) return undefined;
    const said = output
      .split("\n", 1)[0]!
      .replace(/[^\x20-\x7e]/g, "?")
      .slice(0, 200);
    throw new CfsError("Io", `${program} failed for ${host} with exit code ${code}: ${said}`);
  }
  return parseAnswer(output, program);
}

/** Path of the program; directories of PATH that depend on the current one are left out. */
export function findCredentialHelper(
  name: string,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const directories = (environment.PATH ?? "").split(":").filter((directory) => directory.startsWith("/"));
  if (directories.length === 0 || !NAME.test(name)) return undefined;
  return Bun.which(`docker-credential-${name}`, { PATH: directories.join(":") }) ?? undefined;
}

async function run(
  command: string[],
  input: string,
  environment: Readonly<Record<string, string | undefined>>,
  program: string,
  timeoutMs: number,
): Promise<{ output: string; code: number | null }> {
  // a helper that is made with Bun as well would take these for itself
  const { BUN_OPTIONS: _, BUN_BE_BUN: __, ...env } = environment;
  const child = Bun.spawn(command, {
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    // some ask for a passphrase or say how to log in again
    stderr: "inherit",
    env,
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  let tooMuch = false;
  const reading = (async () => {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of child.stdout) {
      size += chunk.length;
      tooMuch = size > MAX_OUTPUT;
      if (tooMuch) {
        child.kill("SIGKILL");
        break;
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  })();
  const code = await child.exited;
  if (tooMuch) throw new CfsError("Invalid", `${program} wrote more than ${MAX_OUTPUT} bytes`);
  // killed for its silence: whatever it started may hold its stdout open for longer, so that is not waited for
  if (child.signalCode === "SIGKILL")
    throw new CfsError("Io", `${program} did not answer within ${Math.ceil(timeoutMs / 1000)} s`);
  return { output: await reading, code };
}

function parseAnswer(output: string, source: string): Credentials | undefined {
  let username: string | undefined;
  let secret: string | undefined;
  try {
    const answer = parseJsonObject(new TextEncoder().encode(output), "answer");
    username = optionalString(answer, "Username", "answer");
    secret = optionalString(answer, "Secret", "answer");
  } catch {
    // the cause could quote the secret
    throw new CfsError("Invalid", `the answer of ${source} is no JSON object with "Username" and "Secret"`);
  }
  if (secret === undefined || (secret === "" && (username ?? "") === "")) return undefined;
  return username === "<token>"
    ? { identityToken: secret, source }
    : { username: username ?? "", password: secret, source };
}
