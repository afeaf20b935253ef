import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { cfsctl, cfsctlOk } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

let directory: TempDir;
beforeAll(() => {
  directory = tempDir();
});
afterAll(() => {
  Bun.spawnSync(["gpgconf", "--homedir", directory.join("gnupg"), "--kill", "gpg-agent"]);
  directory[Symbol.dispose]();
});

function run(...command: string[]): string {
  const { stdout, stderr, success } = Bun.spawnSync(command);
  if (!success) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout.toString();
}

const ostree = (repository: string, ...args: string[]) => {
  const [command, ...rest] = args;
  return run("ostree", command!, `--repo=${repository}`, ...rest).trim();
};

interface Signed {
  readonly keyring: string;
  readonly archive: string;
  /** Options with which ostree signs. */
  readonly options: readonly string[];
}

/** An archive with a commit that is signed, and one that is not. */
function makeSigned(): Signed {
  const home = directory.join("gnupg");
  mkdirSync(home, { mode: 0o700 });
  const gpg = (...args: string[]) =>
    Bun.spawnSync([
      "gpg",
      "--homedir",
      home,
      "--batch",
      "--pinentry-mode",
      "loopback",
      "--passphrase",
      "",
      ...args,
    ]).stdout;
  gpg("--quick-generate-key", "signer@example.com", "ed25519", "sign,cert", "1d");
  const keyring = directory.join("keyring.gpg");
  writeFileSync(keyring, gpg("--export"));
  const tree = directory.join("tree");
  mkdirSync(tree);
  writeFileSync(`${tree}/file`, "content");
  const archive = directory.join("archive");
  const options = ["--gpg-sign=signer@example.com", `--gpg-homedir=${home}`];
  ostree(archive, "init", "--mode=archive");
  ostree(archive, "commit", "-b", "signed", ...options, tree);
  ostree(archive, "commit", "-b", "unsigned", "--subject=other", tree);
  return { keyring, archive, options };
}

describe("signatures", () => {
  testNeeding({ tool: "ostree" }, { tool: "gpg" })(
    "come with commits and go with them",
    () => {
      const { keyring, archive, options } = makeSigned();
      const repository = directory.join("repo");
      cfsctlOk(["--repo", repository, "init", "--insecure"]);
      const call = (...args: string[]) => cfsctl(["--repo", repository, "--progress", "none", ...args]);
      const ok = (...args: string[]) => cfsctlOk(["--repo", repository, "--progress", "none", ...args]);
      const commit = ostree(archive, "rev-parse", "signed");
      /** Signatures of the commit that another client of ostree finds good. */
      const isVerified = (url: string, name: string) => {
        const client = directory.join(`client-${name}`);
        ostree(client, "init", "--mode=bare-user-only");
        ostree(client, "remote", "add", `--gpg-import=${keyring}`, "r", `file://${url}`);
        return Bun.spawnSync(["ostree", "pull", `--repo=${client}`, "r", commit]).success;
      };

      const refused = call("ostree", "pull-local", archive, "unsigned", "--gpg-keyring", keyring);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain("has no OpenPGP signature");
      ok("ostree", "pull-local", archive, "signed", "--gpg-keyring", keyring);
      ok("ostree", "pull-local", archive, "unsigned");
      ok("gc");
      const shown = () => JSON.parse(ok("ostree", "inspect", "--json", "signed"));
      expect(shown().detached_metadata["ostree.gpgsigs"].value.length).toBe(1);
      expect(JSON.parse(ok("ostree", "inspect", "--json", "unsigned")).detached_metadata).toBeNull();
      ok("ostree", "fsck");
      ok("fsck");

      const exported = directory.join("exported");
      ok("ostree", "export", "signed", exported, "--reference", "signed", "--mode", "archive");
      expect(ostree(exported, "show", "signed")).toContain("Found 1 signature");
      expect(isVerified(exported, "exported")).toBe(true);

      // What is signed again later comes with the next pull, and is added to what the export has.
      // In the same second, it would be the same signature.
      Bun.sleepSync(1100);
      ostree(archive, "gpg-sign", options[1]!, commit, "signer@example.com");
      ok("ostree", "pull-local", archive, "signed");
      expect(shown().detached_metadata["ostree.gpgsigs"].value.length).toBe(2);
      ok("ostree", "export", "signed", exported);
      expect(ostree(exported, "show", "signed")).toContain("Found 2 signatures");

      // In deltas, made by ostree and by us.
      const delta = directory.join("delta");
      ostree(
        archive,
        "static-delta",
        "generate",
        "--empty",
        "--to=signed",
        "--inline",
        `--filename=${delta}`,
      );
      const other = directory.join("other");
      cfsctlOk(["--repo", other, "init", "--insecure"]);
      cfsctlOk(["--repo", other, "ostree", "apply-delta", delta, "--gpg-keyring", keyring]);
      const created = JSON.parse(
        cfsctlOk(["ostree", "delta", "create", "--json", "--inline", archive, "-", "signed"]),
      );
      const offline = directory.join("offline");
      ostree(offline, "init", "--mode=archive");
      ostree(offline, "static-delta", "apply-offline", `${archive}/${created.path}/superblock`);
      expect(isVerified(offline, "offline")).toBe(true);
      ostree(
        archive,
        "static-delta",
        "generate",
        "--empty",
        "--to=unsigned",
        "--inline",
        `--filename=${delta}`,
      );
      const unsigned = cfsctl(["--repo", other, "ostree", "apply-delta", delta, "--gpg-keyring", keyring]);
      expect(unsigned.stderr).toContain("has no OpenPGP signature");

      // They go when the commit does.
      ok("ostree", "untag", "signed");
      ok("gc");
      expect(run("find", `${repository}/streams`, "-name", "*commitmeta-*")).toBe("");
      expect(run("find", `${repository}/streams/refs`, "-name", commit)).toBe("");
      ok("fsck");
    },
    30_000,
  );
});

describe("parts of commits", () => {
  testNeeding({ tool: "ostree" })(
    "are parts for ostree too",
    () => {
      const archive = directory.join("whole");
      const tree = directory.join("two");
      for (const name of ["a", "b"]) {
        mkdirSync(`${tree}/${name}`, { recursive: true });
        writeFileSync(`${tree}/${name}/file`, name);
      }
      ostree(archive, "init", "--mode=archive");
      const commit = ostree(archive, "commit", "-b", "main", "--canonical-permissions", tree);
      const repository = directory.join("partial");
      const ok = (...args: string[]) => cfsctlOk(["--repo", repository, "--progress", "none", ...args]);
      ok("init", "--insecure");
      ok("ostree", "pull-local", archive, "main", "--subpath", "/a");
      expect(ok("ostree", "inspect", "main")).toContain("subpath /a\n");
      for (const mode of ["archive", "bare-user-only"]) {
        const exported = directory.join(`partial-${mode}`);
        ok("ostree", "export", "main", exported, "--reference", "main", "--mode", mode);
        expect(Bun.spawnSync(["ostree", "fsck", `--repo=${exported}`]).success).toBe(true);
        expect(ostree(exported, "ls", "-R", "main", "/a")).toContain("/a/file");
        // ostree completes it.
        ostree(exported, "pull-local", archive, commit);
        expect(ostree(exported, "ls", "-R", "main")).toContain("/b/file");
        expect(Bun.spawnSync(["ostree", "fsck", `--repo=${exported}`]).stdout.toString()).not.toContain(
          "partial",
        );
      }
      const completed = directory.join("completed");
      ok("ostree", "export", "main", completed, "--mode", "archive");
      ok("ostree", "pull-local", archive, "main");
      ok("ostree", "export", "main", completed, "--reference", "main");
      expect(ostree(completed, "fsck")).not.toContain("partial");
      expect(ostree(completed, "ls", "-R", "main")).toContain("/b/file");
    },
    30_000,
  );
});
