import { readFileSync } from "node:fs";
import { join } from "node:path";

const FIXTURES = join(import.meta.dir, "../../../fixtures/oci-delta");

/** Unpacks recorded deltas, with the images that they are between. */
export function unpackFixture(name: "bad" | "cases" | "creator", directory: string): void {
  const tar = Bun.zstdDecompressSync(readFileSync(join(FIXTURES, `${name}.tar.zst`)));
  const command = ["tar", "-x", "--no-same-owner", "--no-same-permissions", "-C", directory];
  const { exitCode, stderr } = Bun.spawnSync(command, { stdin: tar });
  if (exitCode !== 0) throw new Error(stderr.toString());
  Bun.spawnSync(["chmod", "-R", "u+w", directory]);
}

export function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

/** Names of all objects, and of all links with what they lead to. */
export function contentsOf(repository: string): { objects: string[]; links: string[] } {
  const list = (...below: string[]) =>
    Bun.spawnSync(["find", ...below, "!", "-type", "d", "-printf", "%p %l\n"], { cwd: repository })
      .stdout.toString()
      .split("\n")
      .filter((line) => line !== "")
      .sort();
  return { objects: list("objects"), links: list("streams", "images") };
}
