import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { CERTIFICATES } from "../../support/certificates.ts";
import { cfsctlOk, type RunResult, runCfsctl } from "../../support/cfsctl.ts";
import { startRegistry, type TestRegistry } from "../../support/registry.ts";
import { writeSampleLayout } from "../../support/sample-images.ts";
import { tempDir } from "../../support/temp.ts";
import { testPlaces } from "./support.ts";

// several programs are run one after the other
setDefaultTimeout(30_000);

const scratch = tempDir();
afterAll(() => scratch[Symbol.dispose]());

const user = { username: "somebody", password: "right:one" };
const LOGIN = { auth: Buffer.from("somebody:right:one").toString("base64") };
let serial = 0;
let layout = "";
let registry: TestRegistry;
beforeAll(async () => {
  layout = scratch.join("layout");
  writeSampleLayout(layout);
  registry = await startRegistry({ auth: { scheme: "basic", ...user } });
  registry.content.addLayout("team/app", layout);
});
afterAll(() => registry[Symbol.dispose]());

/** Runs `oci pull` of a new repository in a home directory with these files; HERE is the registry. */
async function pull(
  args: readonly string[],
  files: Readonly<Record<string, string>>,
): Promise<RunResult & { tags: string[] }> {
  const put = (text: string) => text.replaceAll("HERE", registry.host);
  const repository = scratch.join(`repository-${serial++}`);
  cfsctlOk(["--repo", repository, "init", "--insecure"]);
  using places = testPlaces(
    Object.fromEntries(Object.entries(files).map(([name, text]) => [name, put(text)])),
  );
  const result = await runCfsctl(
    ["--repo", repository, "oci", "pull", ...args.map((arg) => put(arg).replace("~", places.home))],
    {
      env: {
        HOME: places.home,
        XDG_RUNTIME_DIR: places.root,
        XDG_CONFIG_HOME: undefined,
        DOCKER_CONFIG: undefined,
        REGISTRY_AUTH_FILE: undefined,
        CONTAINERS_REGISTRIES_CONF: undefined,
        // the registry is on this machine: a proxy that does not exist must not matter
        HTTP_PROXY: "http://127.0.0.1:1",
      },
    },
  );
  const listed = cfsctlOk(["--repo", repository, "oci", "images", "--json"]);
  const { images = [] } = JSON.parse(listed) as { images?: { name: string }[] };
  return { ...result, tags: images.map((image) => image.name.replaceAll(registry.host, "HERE")) };
}

const CONF = "~/.config/containers/registries.conf";
const AUTH = "~/.config/containers/auth.json";
const insecure = '[[registry]]\nlocation = "HERE"\ninsecure = true\n';
const login = JSON.stringify({ auths: { "HERE/team": LOGIN } });

describe("oci pull finds in the user's configuration", () => {
  test.each<[name: string, args: string[], files: Record<string, string>, tag: string]>([
    [
      "host and credentials",
      ["docker://HERE/team/app:many"],
      { [CONF]: insecure, [AUTH]: login },
      "docker://HERE/team/app:many",
    ],
    [
      "a name without a transport",
      ["HERE/team/app:many"],
      { [CONF]: insecure, [AUTH]: login },
      "docker://HERE/team/app:many",
    ],
    [
      "an alias",
      ["app:many"],
      { [CONF]: `${insecure}[aliases]\n"app" = "HERE/team/app"\n`, [AUTH]: login },
      "docker://HERE/team/app:many",
    ],
    [
      "registries to search, the second of which has it",
      ["app:many", "mine"],
      {
        [CONF]: `unqualified-search-registries = ["HERE/other", "HERE/team"]\n${insecure}`,
        [AUTH]: JSON.stringify({ auths: { HERE: LOGIN } }),
      },
      "mine",
    ],
    [
      "--no-tls-verify, --authfile",
      ["--no-tls-verify", "--authfile", "~/here.json", "docker://HERE/team/app:many", "mine"],
      { "~/here.json": login },
      "mine",
    ],
  ])("%s", async (_name, args, files, tag) => {
    const { code, stderr, tags } = await pull(args, files);
    expect({ code, stderr: code === 0 ? "" : stderr, tags }).toEqual({ code: 0, stderr: "", tags: [tag] });
  });

  test("--cert-dir", async () => {
    using secure = await startRegistry({ tls: true, clientCertificate: true, content: registry.content });
    const certs = scratch.join("certs");
    mkdirSync(certs);
    copyFileSync(CERTIFICATES.ca, `${certs}/ca.crt`);
    copyFileSync(CERTIFICATES.clientCert, `${certs}/client.cert`);
    const args = ["--cert-dir", certs, `docker://${secure.host}/team/app:many`, "mine"];
    expect(await pull(args, {})).toMatchObject({ code: 1, tags: [] });
    copyFileSync(CERTIFICATES.clientKey, `${certs}/client.key`);
    expect(await pull(args, {})).toMatchObject({ code: 0, tags: ["mine"] });
    writeFileSync(`${certs}/other.crt`, "no certificate");
    const { code, stderr } = await pull(args, {});
    expect(code).toBe(1);
    expect(stderr).toContain(`${certs}/other.crt has no certificate in PEM form`);
  });

  test.each<[name: string, args: string[], files: Record<string, string>, message: RegExp]>([
    ["what is no name at all", ["nothing"], {}, /^cfsctl: error: Missing ':' in nothing$/m],
    ["an unknown transport", ["nothing:many"], {}, /^cfsctl: error: Invalid transport: nothing$/m],
    [
      "a blocked registry",
      ["docker://HERE/team/app:many"],
      { [CONF]: `${insecure}blocked = true\n` },
      /registry HERE is blocked in .*registries\.conf/,
    ],
    [
      "a malformed file",
      ["docker://HERE/team/app:many"],
      { [CONF]: "[[registry" },
      /registries\.conf is not valid TOML/,
    ],
    [
      "malformed credentials",
      ["docker://HERE/team/app:many"],
      { [CONF]: insecure, [AUTH]: '{"auths":{"HERE":{"auth":"c2VjcmV0"}}}' },
      /auth\.json: "auths": "HERE": "auth" is not USER:PASSWORD in base64/,
    ],
    [
      "a name that no registry has",
      ["nothing:many"],
      {
        [CONF]: `unqualified-search-registries = ["HERE/one", "HERE/two"]\n${insecure}`,
        [AUTH]: JSON.stringify({ auths: { HERE: LOGIN } }),
      },
      /no image can be had: .*HERE\/one\/nothing:many.*; .*HERE\/two\/nothing:many/,
    ],
  ])("refuses %s", async (_name, args, files, message) => {
    const { code, stderr, tags } = await pull(args, files);
    expect({ code, tags }).toEqual({ code: 1, tags: [] });
    expect(stderr.replaceAll(registry.host, "HERE")).toMatch(message);
  });
});
