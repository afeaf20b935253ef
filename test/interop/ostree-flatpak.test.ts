import { afterAll, beforeAll, describe, expect } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cfsctlOk } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { noise } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** flatpak installs a runtime and an application that have gone through the repository. */

const RUNTIME = "runtime/org.example.Platform/x86_64/1";
const APP = "app/org.example.App/x86_64/stable";
const FILES = 40;

let directory: TempDir;

beforeAll(() => {
  directory = tempDir();
});
afterAll(() => directory[Symbol.dispose]());

function run(command: readonly string[]): string {
  const { stdout, stderr, success } = Bun.spawnSync([...command], {
    stdin: "ignore",
    env: {
      PATH: process.env.PATH ?? "",
      HOME: directory.join("home"),
      XDG_RUNTIME_DIR: directory.join("run"),
      XDG_DATA_HOME: directory.join("home/data"),
      FLATPAK_USER_DIR: directory.join("installed"),
      FLATPAK_SYSTEM_DIR: directory.join("system"),
    },
  });
  if (!success) throw new Error(`${command.join(" ")}: ${stdout.toString()}${stderr.toString()}`);
  return stdout.toString();
}

const flatpak = (...args: string[]) => run(["flatpak", ...args]);

function writeTree(path: string, metadata: string, folder: string): void {
  mkdirSync(directory.join(path, folder, "bin"), { recursive: true });
  writeFileSync(directory.join(path, "metadata"), metadata);
  for (let i = 0; i < FILES; i++)
    writeFileSync(directory.join(path, folder, `file-${i}`), noise(1 + i * 97, i + path.length));
  const script = directory.join(path, folder, "bin", "hello");
  writeFileSync(script, "#!/bin/sh\necho hello\n");
  chmodSync(script, 0o755);
}

/** Repository of mode archive that flatpak has made. */
function buildRepository(): string {
  for (const name of ["home", "run", "installed", "system"])
    mkdirSync(directory.join(name), { recursive: true, mode: 0o700 });
  const sdk = "sdk=org.example.Platform/x86_64/1\n";
  const platform = "runtime=org.example.Platform/x86_64/1\n";
  writeTree("platform", `[Runtime]\nname=org.example.Platform\n${platform}${sdk}`, "files");
  writeTree("app", `[Application]\nname=org.example.App\n${platform}${sdk}command=hello\n`, "files");
  for (const folder of ["export", "var"]) mkdirSync(directory.join("app", folder));
  const built = directory.join("built");
  const build = (...args: string[]) =>
    flatpak("build-export", "--disable-sandbox", "--arch=x86_64", built, ...args);
  build("--runtime", "--files=files", directory.join("platform"), "1");
  build(directory.join("app"), "stable");
  return built;
}

describe("flatpak", () => {
  testNeeding({ tool: "flatpak" }, { tool: "ostree" })(
    "installs from a repository that was exported, and updates",
    () => {
      const built = buildRepository();
      const repository = directory.join("repo");
      const exported = directory.join("exported");
      const ours = (...args: string[]) => cfsctlOk(["--repo", repository, "ostree", ...args]);
      cfsctlOk(["--repo", repository, "init", "--insecure"]);
      const publish = (ref: string) => {
        ours("pull-local", built, ref);
        ours("export", ref, exported, "--mode", "archive", "--reference", ref);
        flatpak("build-update-repo", exported);
      };
      publish(RUNTIME);
      publish(APP);
      expect(run(["ostree", "fsck", `--repo=${exported}`])).toContain("no errors found");

      const name = "exported";
      flatpak("--user", "remote-add", "--no-gpg-verify", name, `file://${exported}`);
      flatpak("--user", "install", "--noninteractive", "-y", name, APP);
      const commitOf = (ref: string, of: string) => run(["ostree", "rev-parse", `--repo=${of}`, ref]).trim();
      const installed = (ref: string) => flatpak("--user", "info", "--show-commit", ref).trim();
      for (const ref of [RUNTIME, APP]) expect(installed(ref)).toBe(commitOf(ref, built));
      const deployed = directory.join("installed", APP, "active", "files");
      for (let i = 0; i < FILES; i++) {
        const original = readFileSync(directory.join("app", "files", `file-${i}`));
        expect(readFileSync(`${deployed}/file-${i}`).equals(original)).toBe(true);
      }

      // a commit of our own, from what flatpak has installed
      writeFileSync(directory.join("app", "files", "file-0"), "changed");
      flatpak("build-export", "--disable-sandbox", "--arch=x86_64", built, directory.join("app"), "stable");
      const before = installed(APP);
      publish(APP);
      flatpak("--user", "update", "--noninteractive", "-y");
      expect(installed(APP)).toBe(commitOf(APP, built));
      expect(installed(APP)).not.toBe(before);
      expect(readFileSync(`${deployed}/file-0`, "utf8")).toBe("changed");
    },
    60_000,
  );
});
