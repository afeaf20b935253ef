import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { CfsError } from "../../../src/errors.ts";
import { readAuthFile } from "../../../src/oci/containers/auth-file.ts";
import { askCredentialHelper } from "../../../src/oci/containers/credential-helper.ts";
import { findCredentials } from "../../../src/oci/containers/credentials.ts";
import { tempDir } from "../../support/temp.ts";
import { failureOf, testPlaces } from "./support.ts";

const FILES = ["containers-auth.json"];
const encode = (text: string) => Buffer.from(text).toString("base64");
const auth = (name: string) => ({ auth: encode(`${name}:hidden`) });
const file = (auths: object, more: object = {}) => JSON.stringify({ auths, ...more });

const programs = tempDir();
afterAll(() => programs[Symbol.dispose]());
const PATH = `${programs.path}:${process.env.PATH}`;

/** A credential helper that answers with what it was asked for. @param body commands of sh, with $host and $command */
function helper(name: string, body: string): void {
  const path = programs.join(`docker-credential-${name}`);
  writeFileSync(path, `#!/bin/sh\ncommand=$1\nhost=$(cat)\n${body}\n`);
  chmodSync(path, 0o755);
}

helper("echo", `echo '{"ServerURL":"'$host'","Username":"'$command'","Secret":"of '$host'"}'`);
helper("token", `echo '{"Username":"<token>","Secret":"refresh"}'`);
helper("none", "echo credentials not found in native keychain; exit 1");
helper(
  "hub",
  `[ "$host" = https://index.docker.io/v1/ ] && echo '{"Username":"hub","Secret":"hidden"}' && exit
echo credentials not found in native keychain; exit 1`,
);
helper("fails", "echo the keychain is locked; exit 3");
helper("garbage", "echo 'hidden secret'");
helper("environment", `echo '{"Username":"'"$BUN_OPTIONS$BUN_BE_BUN$OTHER"'","Secret":"x"}'`);
helper("endless", "yes 2>/dev/null");
helper("slow", "sleep 5");

/** Who the credentials are for, and from which file or program. */
async function found(
  name: string,
  files: Readonly<Record<string, string>>,
  environment: Readonly<Record<string, string>> = {},
  options: { readonly helpers?: readonly string[]; readonly authFile?: string; readonly uid?: number } = {},
): Promise<string | undefined> {
  using places = testPlaces(files, {}, options.uid);
  // $ROOT and $HOME stand for directories that the test makes
  const expand = (text: string) => text.replaceAll("$ROOT", places.root).replaceAll("$HOME", places.home);
  const entries = Object.entries({ PATH, ...environment }).map(([key, value]) => [key, expand(value)]);
  const slash = name.indexOf("/");
  const credentials = await findCredentials(
    name.slice(0, slash),
    name.slice(slash + 1),
    options.helpers ?? FILES,
    { ...places, environment: Object.fromEntries(entries) },
    options.authFile === undefined ? undefined : expand(options.authFile),
  );
  if (credentials === undefined) return undefined;
  const source = credentials.source?.replace(places.home, "~").replace(places.root, "");
  if ("identityToken" in credentials) return `token ${credentials.identityToken} from ${source}`;
  return `${credentials.username}:${credentials.password} from ${source}`;
}

const RUNTIME = "/run/containers/0/auth.json";

describe("places", () => {
  const all = {
    "/explicit.json": file({ "a.test": auth("explicit") }),
    "/environment.json": file({ "a.test": auth("environment") }),
    "/xdg/containers/auth.json": file({ "a.test": auth("runtime") }),
    [RUNTIME]: file({ "a.test": auth("run") }),
    "/run/containers/1000/auth.json": file({ "a.test": auth("run1000") }),
    "~/.config/containers/auth.json": file({ "a.test": auth("config") }),
    "/config/containers/auth.json": file({ "a.test": auth("xdgconfig") }),
    "~/.docker/config.json": file({ "a.test": auth("docker") }),
    "/docker/config.json": file({ "a.test": auth("dockerconfig") }),
    "~/.dockercfg": JSON.stringify({ "a.test": auth("dockercfg") }),
  };
  const without = (...names: (keyof typeof all)[]) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => !names.includes(name as keyof typeof all)));

  test.each<[name: string, files: Record<string, string>, environment: Record<string, string>, user: string]>(
    [
      [
        "REGISTRY_AUTH_FILE",
        all,
        { REGISTRY_AUTH_FILE: "$ROOT/environment.json", XDG_RUNTIME_DIR: "$ROOT/xdg" },
        "environment",
      ],
      ["XDG_RUNTIME_DIR", all, { XDG_RUNTIME_DIR: "$ROOT/xdg" }, "runtime"],
      ["/run/containers/UID", all, {}, "run"],
      ["~/.config", without(RUNTIME), {}, "config"],
      ["XDG_CONFIG_HOME", without(RUNTIME), { XDG_CONFIG_HOME: "$ROOT/config" }, "xdgconfig"],
      ["~/.docker", without(RUNTIME, "~/.config/containers/auth.json"), {}, "docker"],
      [
        "DOCKER_CONFIG",
        without(RUNTIME, "~/.config/containers/auth.json"),
        { DOCKER_CONFIG: "$ROOT/docker" },
        "dockerconfig",
      ],
      [
        "~/.dockercfg",
        without(RUNTIME, "~/.config/containers/auth.json", "~/.docker/config.json"),
        {},
        "dockercfg",
      ],
      // the other tools read on as well when a named file is not there, or has nothing
      ["a missing REGISTRY_AUTH_FILE", all, { REGISTRY_AUTH_FILE: "/nowhere" }, "config"],
    ],
  )("%s", async (_name, files, environment, user) => {
    expect(await found("a.test/x", files, environment)).toStartWith(`${user}:hidden from `);
  });

  test("the command line's file goes first, and has to exist", async () => {
    const environment = { REGISTRY_AUTH_FILE: "$ROOT/environment.json" };
    expect(await found("a.test/x", all, environment, { authFile: "$ROOT/explicit.json" })).toBe(
      "explicit:hidden from /explicit.json",
    );
    expect(await failureOf(found("a.test/x", all, {}, { authFile: "/nowhere" }))).toBe(
      "the credentials file /nowhere does not exist",
    );
  });

  test("a user has another directory in /run than root", async () => {
    expect(await found("a.test/x", all, {}, { uid: 1000 })).toStartWith("run1000:");
  });

  test("without files there are none", async () => {
    expect(await found("a.test/x", {})).toBeUndefined();
  });
});

describe("keys", () => {
  const hub = { "https://index.docker.io/v1/": auth("hub") };

  test.each<[name: string, auths: object, user: string | undefined]>([
    [
      "r.local/namespace/user/image",
      { "r.local/namespace/user/image": auth("1"), "r.local": auth("4") },
      "1",
    ],
    ["r.local/namespace/user/image", { "r.local/namespace/user": auth("2"), "r.local": auth("4") }, "2"],
    ["r.local/namespace/user/image", { "r.local/namespace": auth("3"), "r.local": auth("4") }, "3"],
    ["r.local/namespace/user/image", { "r.local": auth("4") }, "4"],
    ["r.local/other", { "r.local/namespace": auth("3") }, undefined],
    ["r.local/names", { "r.local/name": auth("3") }, undefined],
    ["r.local:5000/a", { "r.local": auth("4") }, undefined],
    ["r.local:5000/a", { "https://r.local:5000/v1/": auth("url") }, "url"],
    ["r.local:5000/a", { "http://r.local:5000": auth("url") }, "url"],
    ["r.local/a", { "r.local/v1/": auth("no URL") }, undefined],
    ["r.local/a", { "https://r.local/v1/": auth("url"), "r.local": auth("host") }, "host"],
    ["docker.io/library/a", hub, "hub"],
    ["docker.io/library/a", { "docker.io": auth("io"), ...hub }, "io"],
    ["docker.io/library/a", { "index.docker.io": auth("index") }, "index"],
    ["docker.io/library/a", { "registry-1.docker.io": auth("one") }, "one"],
    ["r.local/__proto__", { "r.local": auth("4") }, "4"],
    ["__proto__/a", {}, undefined],
  ])("%s with %j", async (name, auths, user) => {
    const expected = user === undefined ? undefined : `${user}:hidden from ${RUNTIME}`;
    expect(await found(name, { [RUNTIME]: file(auths) })).toBe(expected);
  });

  test("~/.dockercfg has hosts with whatever path", async () => {
    const content = JSON.stringify({ "a.test/v1/": auth("old") });
    expect(await found("a.test/x", { "~/.dockercfg": content })).toBe("old:hidden from ~/.dockercfg");
  });

  test.each<[name: string, entry: object, expected: string | undefined]>([
    ["a password with colons", { auth: encode("user:a:b") }, `user:a:b from ${RUNTIME}`],
    ["a password with NULs around", { auth: encode("user:\0a\0\0") }, `user:a from ${RUNTIME}`],
    ["bytes above 0x7f", { auth: encode("üser:pässword") }, `üser:pässword from ${RUNTIME}`],
    [
      "base64 in lines",
      { auth: `${encode("user:a").slice(0, 4)}\r\n${encode("user:a").slice(4)}` },
      `user:a from ${RUNTIME}`,
    ],
    [
      "an identity token",
      { auth: encode("user:"), identitytoken: "refresh" },
      `token refresh from ${RUNTIME}`,
    ],
    ["an empty entry: the next file is read", {}, "docker:hidden from ~/.docker/config.json"],
    ["an entry with nothing in it", { auth: "" }, "docker:hidden from ~/.docker/config.json"],
  ])("%s", async (_name, entry, expected) => {
    const files = {
      [RUNTIME]: file({ "a.test/x": entry, "a.test": auth("general") }),
      "~/.docker/config.json": file({ "a.test": auth("docker") }),
    };
    expect(await found("a.test/x", files)).toBe(expected);
  });
});

describe("credential helpers", () => {
  const helpers = (credHelpers: object, auths: object = { "a.test": auth("file") }) => ({
    [RUNTIME]: file(auths, { credHelpers }),
    "~/.docker/config.json": file({ "a.test": auth("docker") }),
  });

  test.each<[name: string, files: Record<string, string>, expected: string | undefined]>([
    [
      "its answer counts, not the file's",
      helpers({ "a.test": "echo" }),
      "get:of a.test from docker-credential-echo",
    ],
    ["only for its host", helpers({ "b.test": "fails" }), `file:hidden from ${RUNTIME}`],
    [
      "it has none: the next file is read",
      helpers({ "a.test": "none" }),
      "docker:hidden from ~/.docker/config.json",
    ],
    ["an identity token", helpers({ "a.test": "token" }), "token refresh from docker-credential-token"],
    [
      "Bun's own variables are kept from it",
      helpers({ "a.test": "environment" }),
      "kept:x from docker-credential-environment",
    ],
    [
      "credsStore",
      { [RUNTIME]: file({}, { credsStore: "echo" }) },
      "get:of a.test from docker-credential-echo",
    ],
    [
      "credsStore after the file",
      { [RUNTIME]: file({ "a.test": auth("file") }, { credsStore: "echo" }) },
      `file:hidden from ${RUNTIME}`,
    ],
    ["credsStore that is not installed", { [RUNTIME]: file({}, { credsStore: "nowhere" }) }, undefined],
    [
      "credHelpers before credsStore",
      { [RUNTIME]: file({}, { credsStore: "fails", credHelpers: { "a.test": "token" } }) },
      "token refresh from docker-credential-token",
    ],
  ])("%s", async (_name, files, expected) => {
    const environment = { BUN_OPTIONS: "--preload=/x", BUN_BE_BUN: "1", OTHER: "kept" };
    expect(await found("a.test/x", files, environment)).toBe(expected);
  });

  test("Docker Hub under the name that Docker has for it", async () => {
    expect(await found("docker.io/library/a", { [RUNTIME]: file({}, { credsStore: "hub" }) })).toBe(
      "hub:hidden from docker-credential-hub",
    );
    const listed = { [RUNTIME]: file({}, { credHelpers: { "index.docker.io": "echo" } }) };
    expect(await found("docker.io/library/a", listed)).toBe("get:of docker.io from docker-credential-echo");
  });

  test.each<[helpers: string[], expected: string | undefined]>([
    [["echo", ...FILES], "get:of a.test from docker-credential-echo"],
    [[...FILES, "echo"], `file:hidden from ${RUNTIME}`],
    [["none", ...FILES], `file:hidden from ${RUNTIME}`],
    [["none"], undefined],
  ])("registries.conf: credential-helpers = %j", async (order, expected) => {
    expect(
      await found("a.test/x", { [RUNTIME]: file({ "a.test": auth("file") }) }, {}, { helpers: order }),
    ).toBe(expected);
  });

  test.each([
    ["fails", "docker-credential-fails failed for a.test with exit code 3: the keychain is locked"],
    ["garbage", "the answer of docker-credential-garbage is no JSON object"],
    ["endless", "docker-credential-endless wrote more than 1048576 bytes"],
    ["nowhere", "the credential helper docker-credential-nowhere for a.test is not installed"],
    ["../echo", '"../echo" is no name of a credential helper'],
    ["", '"" is no name of a credential helper'],
  ])("%s is an error", async (name, message) => {
    const text = await failureOf(askCredentialHelper(name, "a.test", { PATH }));
    expect(text).toContain(message);
    expect(text).not.toContain("hidden");
  });

  test("one that does not answer is killed", async () => {
    expect(await failureOf(askCredentialHelper("slow", "a.test", { PATH }, 200))).toBe(
      "docker-credential-slow did not answer within 1 s",
    );
  });

  test("none of the current directory is run", async () => {
    const text = await failureOf(askCredentialHelper("echo", "a.test", { PATH: ":.:relative" }));
    expect(text).toContain("is not installed");
  });
});

describe("malformed files", () => {
  test.each([
    ["no JSON", "{hidden", "it is not a JSON object"],
    ["empty", "", "it is not a JSON object"],
    ["a list", "[]", "it is not a JSON object"],
    ["no UTF-8", "\ud800", "it is not"],
    ["auths is a list", '{"auths":["hidden"]}', '"auths" is not an object'],
    ["an entry is a text", '{"auths":{"a.test":"hidden"}}', '"auths": "a.test" is not an object'],
    ["auth is a number", '{"auths":{"a.test":{"auth":5}}}', '"auths": "a.test": "auth" must be a string'],
    ["auth is no base64", '{"auths":{"a.test":{"auth":"hidden!"}}}', '"auth" is not USER:PASSWORD in base64'],
    [
      "auth has no colon",
      file({ "a.test": { auth: encode("hidden") } }),
      '"auth" is not USER:PASSWORD in base64',
    ],
    ["a helper is a number", '{"credHelpers":{"a.test":1}}', '"credHelpers.a.test" must be a string'],
  ])("%s", async (_name, content, message) => {
    const text = await failureOf(found("a.test/x", { [RUNTIME]: content }));
    expect(text).toMatch(/^credentials file .*\/run\/containers\/0\/auth\.json: /);
    expect(text).toContain(message);
    expect(text).not.toContain("hidden");
    expect(text).not.toContain(encode("hidden"));
  });

  test("whatever the bytes, there is a value or an error of ours", () => {
    const path = programs.join("random.json");
    const whole = Buffer.from(
      file({ "a.test": auth("user"), "b.test": {} }, { credHelpers: { "c.test": "x" } }),
    );
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, length) => {
        const bytes = Buffer.from(whole);
        bytes[at] = byte;
        writeFileSync(path, bytes.subarray(0, length));
        try {
          readAuthFile(path, "a.test", "x");
        } catch (error) {
          if (!(error instanceof CfsError)) throw error;
        }
      }),
    );
    expect(readFileSync(path).length).toBeLessThanOrEqual(whole.length);
  });
});
