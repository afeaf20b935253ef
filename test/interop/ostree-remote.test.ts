import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { serveFiles } from "../ostree/static-server.ts";
import { cfsctlOk, runCfsctl } from "../support/cfsctl.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

let directory: TempDir;

beforeAll(() => {
  directory = tempDir();
  mkdirSync(directory.join("gnupg"), { mode: 0o700 });
});
afterAll(() => {
  Bun.spawnSync(["gpgconf", "--homedir", directory.join("gnupg"), "--kill", "gpg-agent"]);
  directory[Symbol.dispose]();
});

function run(...command: string[]): Buffer {
  const { stdout, stderr, success } = Bun.spawnSync(command);
  if (!success) throw new Error(`${command.join(" ")}: ${stderr.toString()}`);
  return stdout;
}

describe("what ostree has signed with GPG", () => {
  testNeeding({ tool: "ostree" }, { tool: "gpg" })(
    "is believed, and nothing else",
    async () => {
      const home = directory.join("gnupg");
      const gpg = (...args: string[]) =>
        run("gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "", ...args);
      gpg("--quick-generate-key", "signer@example.com", "rsa2048", "sign,cert", "1d");
      const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(gpg("--list-keys", "--with-colons").toString())![1]!;
      const keyring = directory.join("keyring.gpg");
      writeFileSync(keyring, gpg("--export"));

      const archive = directory.join("archive");
      const tree = directory.join("tree");
      mkdirSync(tree);
      writeFileSync(`${tree}/file`, "content");
      const ostree = (...args: string[]) => run("ostree", `--repo=${archive}`, ...args);
      const signed = [`--gpg-sign=${fingerprint}`, `--gpg-homedir=${home}`];
      ostree("init", "--mode=archive");
      ostree("commit", "-b", "signed", ...signed, tree);
      ostree("commit", "-b", "unsigned", tree);
      ostree("summary", "-u", ...signed);

      using server = await serveFiles(archive);
      const conf = directory.join("remotes.conf");
      writeFileSync(
        conf,
        `[remote "r"]\nurl=${server.url}\ngpg-verify=true\ngpg-verify-summary=true\ngpgkeypath=${keyring}\n`,
      );
      const repository = directory.join("repo");
      cfsctlOk(["--repo", repository, "init", "--insecure"]);
      const pull = async (...args: string[]) => {
        const { code, stderr } = await runCfsctl([
          "--repo",
          repository,
          "--progress",
          "none",
          "ostree",
          "pull",
          ...args,
        ]);
        return code === 0 ? "pulled" : stderr;
      };
      expect(await pull("--gpg-keyring", keyring, server.url, "signed")).toBe("pulled");
      expect(await pull("--remote-config", conf, "r", "signed")).toBe("pulled");
      expect(await pull("--remote-config", conf, "r", "unsigned")).toContain("has no OpenPGP signature");
      expect(await pull("--remote-config", conf, "--no-gpg-verify", "r", "unsigned")).toBe("pulled");
      ostree("summary", "-u");
      expect(await pull("--remote-config", conf, "r", "signed")).toContain("summary");
    },
    60_000,
  );
});
