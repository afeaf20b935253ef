import { afterAll, beforeAll, describe, expect } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cfsctlOk, run, runCfsctl } from "../support/cfsctl.ts";
import { writeContainersHome } from "../support/containers-home.ts";
import { type DockerRegistry, startDockerRegistry } from "../support/docker-registry.ts";
import { writeLayout } from "../support/oci-layout.ts";
import { testNeeding } from "../support/skip.ts";
import { directory, file, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** Images that other tools sign in a registry today, under a policy.json that both sides read. */

const needs = (...tools: string[]) =>
  testNeeding(...["docker-registry", "skopeo", ...tools].map((tool) => ({ tool })));

let scratch: TempDir;
let serial = 0;
beforeAll(() => {
  scratch = tempDir();
  writeLayout(scratch.join("layout"), [
    { tag: "1", layers: [{ tar: writeTar([directory("usr/"), file("usr/a", "signed")]) }] },
  ]);
});
afterAll(() => scratch[Symbol.dispose]());

async function tool(
  command: readonly string[],
  env: Record<string, string | undefined> = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(command, { env, timeoutMs: 60_000 });
  if (code !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return stdout;
}

/** A registry without TLS, for the tools; the home directory of who signs. */
async function start() {
  const registry = await startDockerRegistry({ tls: false });
  const home = scratch.join(`signer-${serial++}`);
  const env = {
    ...writeContainersHome(home, {}),
    GNUPGHOME: `${home}/gnupg`,
    COSIGN_PASSWORD: "",
  };
  mkdirSync(env.GNUPGHOME, { mode: 0o700 });
  return { registry, home, env, [Symbol.dispose]: () => registry[Symbol.dispose]() };
}

/** Pulls as a user with that policy for the registry. @returns "pulled", or what the program says */
async function pull(
  { host }: DockerRegistry,
  name: string,
  requirement: object,
  registriesD = "",
): Promise<string> {
  const home = scratch.join(`user-${serial++}`);
  const env = writeContainersHome(home, {
    registries: `[[registry]]\nlocation = "${host}"\ninsecure = true\n`,
    policy: { default: [{ type: "reject" }], transports: { docker: { [host]: [requirement] } } },
  });
  mkdirSync(`${home}/.config/containers/registries.d`);
  writeFileSync(`${home}/.config/containers/registries.d/test.yaml`, registriesD);
  const repository = scratch.join(`repository-${serial++}`);
  cfsctlOk(["--repo", repository, "init", "--insecure"]);
  const arguments_ = ["--repo", repository, "oci", "pull", `docker://${host}/${name}`, "app"];
  const { code, stderr } = await runCfsctl(arguments_, { env, timeoutMs: 60_000 });
  if (code === 0) return "pulled";
  expect(code).toBe(1);
  expect(readdirSync(repository)).toEqual(["meta.json"]);
  return stderr;
}

const copy = (from: string, to: string, ...more: string[]) => [
  "skopeo",
  "--insecure-policy",
  ...more,
  "copy",
  "-q",
  "--dest-tls-verify=false",
  from,
  to,
];

describe("signatures in a registry", () => {
  needs("gpg")(
    "by skopeo with GnuPG, in a lookaside directory",
    async () => {
      using signer = await start();
      const { registry, home, env } = signer;
      const key = `${home}/key.gpg`;
      const gpg = ["gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""];
      await tool([...gpg, "--quick-generate-key", "me@example.org", "rsa2048", "sign,cert", "1d"], env);
      await tool([...gpg, "--export", "-o", key, "me@example.org"], env);
      const lookaside = `file://${home}/signatures`;
      const registriesD = `docker:\n  ${registry.host}:\n    lookaside: ${lookaside}\n    lookaside-staging: ${lookaside}\n`;
      mkdirSync(`${home}/registries.d`);
      writeFileSync(`${home}/registries.d/test.yaml`, registriesD);
      const app = `docker://${registry.host}/team/app`;
      const signing = copy(
        `oci:${scratch.join("layout")}:1`,
        `${app}:1`,
        "--registries.d",
        `${home}/registries.d`,
      );
      await tool([...signing, "--sign-by", "me@example.org"], env);
      await tool(copy(`oci:${scratch.join("layout")}:1`, `${app}:2`), env);
      await tool(["gpgconf", "--kill", "gpg-agent"], env);

      const requirement = { type: "signedBy", keyType: "GPGKeys", keyPath: key };
      expect(await pull(registry, "team/app:1", requirement, registriesD)).toBe("pulled");
      const other = await pull(registry, "team/app:2", requirement, registriesD);
      expect(other).toContain(
        `the signature is for ${registry.host}/team/app:1, not for ${registry.host}/team/app:2`,
      );
      expect(await pull(registry, "team/app:1", requirement)).toContain("no signature found at file://");
    },
    60_000,
  );

  needs("cosign").each(["bundle", "tag"])(
    "by cosign, as a %s",
    async (form) => {
      using signer = await start();
      const { registry, home, env } = signer;
      for (const name of ["signed", "unsigned"])
        await tool(copy(`oci:${scratch.join("layout")}:1`, `docker://${registry.host}/team/${name}:1`), env);
      await tool(["cosign", "generate-key-pair", "--output-key-prefix", `${home}/key`], env);
      const inspected = await tool(
        [
          "skopeo",
          "inspect",
          "--tls-verify=false",
          "--format",
          "{{.Digest}}",
          `docker://${registry.host}/team/signed:1`,
        ],
        env,
      );
      const options = ["--yes", "--use-signing-config=false", "--tlog-upload=false", "--allow-http-registry"];
      const isBundle = `--new-bundle-format=${form === "bundle"}`;
      const image = `${registry.host}/team/signed@${inspected.trim()}`;
      await tool(["cosign", "sign", ...options, isBundle, "--key", `${home}/key.key`, image], env);

      const keyData = readFileSync(`${home}/key.pub`).toString("base64");
      const requirement = { type: "sigstoreSigned", keyData, signedIdentity: { type: "matchRepository" } };
      expect(await pull(registry, "team/signed:1", requirement)).toBe("pulled");
      expect(await pull(registry, "team/unsigned:1", requirement)).toContain("no signature found");
    },
    60_000,
  );
});
