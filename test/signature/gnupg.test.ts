import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readKeyring } from "../../src/signature/openpgp/keyring.ts";
import { verifySignedMessage } from "../../src/signature/openpgp/message.ts";
import { verifyDetached } from "../../src/signature/openpgp/verify.ts";
import { testNeeding } from "../support/skip.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** What the GnuPG of this machine writes today. */

let scratch: TempDir;
beforeAll(() => {
  scratch = tempDir();
  mkdirSync(scratch.join("home"), { mode: 0o700 });
});
afterAll(() => {
  Bun.spawnSync(["gpgconf", "--kill", "gpg-agent"], { env: environment() });
  scratch[Symbol.dispose]();
});

const environment = () => ({ ...process.env, GNUPGHOME: scratch.join("home") });

function gpg(...args: string[]): Uint8Array {
  const options = [
    "--batch",
    "--quiet",
    "--pinentry-mode",
    "loopback",
    "--passphrase",
    "",
    "--trust-model",
    "always",
  ];
  const { exitCode, stdout, stderr } = Bun.spawnSync(["gpg", ...options, ...args], { env: environment() });
  if (exitCode !== 0) throw new Error(stderr.toString());
  return new Uint8Array(stdout);
}

describe("GnuPG", () => {
  testNeeding({ tool: "gpg" }).each(["rsa2048", "nistp256", "ed25519"])("%s", (algorithm) => {
    const id = `${algorithm}@example.org`;
    gpg("--quick-generate-key", id, algorithm, "sign,cert", "1d");
    const data = crypto.getRandomValues(new Uint8Array(10_000));
    const file = join(scratch.path, algorithm);
    writeFileSync(file, data);
    const keyring = readKeyring(gpg("--export", id));
    const armored = readKeyring(gpg("--export", "--armor", id));
    expect(armored).toEqual(keyring);
    gpg("-u", id, "--detach-sign", "-o", `${file}.sig`, file);
    expect(verifyDetached(keyring, [data], new Uint8Array(readFileSync(`${file}.sig`))).userIds).toEqual([
      id,
    ]);
    const message = gpg("-u", id, "--sign", "--armor", "-o", "-", file);
    expect(verifySignedMessage(keyring, message, data.length).content).toEqual(data);
  });
});
