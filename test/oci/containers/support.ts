import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Places } from "../../../src/oci/containers/places.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";

/** A home directory and an /etc of their own. */
export interface TestPlaces extends Places, Disposable {
  readonly dir: TempDir;
}

/** @param files content by path: `~/…` for the home directory, `/…` for the rest of the system */
export function testPlaces(
  files: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {},
  uid = 0,
): TestPlaces {
  const dir = tempDir();
  const home = dir.join("home");
  const root = dir.join("root");
  mkdirSync(home);
  mkdirSync(root);
  for (const [path, content] of Object.entries(files)) {
    const file = path.startsWith("~/") ? dir.join("home", path.slice(2)) : dir.join("root", path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  return { dir, home, root, uid, environment, [Symbol.dispose]: () => dir[Symbol.dispose]() };
}

/** The message and those of its causes. */
export function failure(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return messages(error);
  }
  return "no error";
}

export async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => "no error", messages);
}

function messages(error: unknown): string {
  const parts: string[] = [];
  for (let e = error; e instanceof Error; e = e.cause) parts.push(e.message);
  return parts.join(": ");
}
