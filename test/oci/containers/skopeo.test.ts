import { afterAll, beforeAll, expect } from "bun:test";
import fc from "fast-check";
import { loadRegistryConfiguration } from "../../../src/oci/containers/configuration.ts";
import { parseDockerReference } from "../../../src/oci/registry/reference.ts";
import { testNeeding } from "../../support/skip.ts";
import { type TestPlaces, testPlaces } from "./support.ts";

/** A registry that has nothing and wants to know who asks: requests for manifests as `PATH USER:PASSWORD`. */
let asked: string[] = [];
let server: ReturnType<typeof Bun.serve>;
let here = "";

beforeAll(() => {
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request) {
      const authorization = request.headers.get("authorization");
      if (authorization === null)
        return new Response("", { status: 401, headers: { "WWW-Authenticate": 'Basic realm="test"' } });
      const path = /^\/v2\/(.*)\/manifests\//.exec(new URL(request.url).pathname)?.[1];
      if (path === undefined) return new Response("{}");
      asked.push(`${path} ${Buffer.from(authorization.replace("Basic ", ""), "base64").toString()}`);
      return Response.json({ errors: [{ code: "MANIFEST_UNKNOWN" }] }, { status: 404 });
    },
  });
  here = `127.0.0.1:${server.port}`;
});
afterAll(() => server.stop(true));

/** What skopeo asks the registry for, in order. */
async function askedBySkopeo(name: string, { home, environment }: TestPlaces): Promise<string[]> {
  asked = [];
  const skopeo = Bun.spawn(["skopeo", "inspect", "--raw", `docker://${name}`], {
    env: { PATH: process.env.PATH, HOME: home, ...environment },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  await skopeo.exited;
  return asked;
}

/** The same by our reading of the configuration. */
async function askedByUs(name: string, places: TestPlaces): Promise<string[]> {
  const configuration = loadRegistryConfiguration({}, places);
  const requests: string[] = [];
  for (const { host, path, insecure } of configuration.endpoints(parseDockerReference(name))) {
    if (host !== here || !insecure) continue;
    const found = await configuration.credentials(host, path);
    // skopeo sends empty credentials where it has none
    requests.push(
      `${path} ${found !== undefined && "username" in found ? `${found.username}:${found.password}` : ":"}`,
    );
  }
  return requests;
}

const encode = (text: string) => Buffer.from(text).toString("base64");
const auth = (user: string) => ({ auth: encode(`${user}:pass:word`) });
const DIGEST = `sha256:${"ab".repeat(32)}`;

interface Case {
  readonly name: string;
  /** Of registries.conf; HERE is the registry. */
  readonly conf: string;
  readonly auths: Readonly<Record<string, object>>;
  /** How many requests there should be. */
  readonly count: number;
}

const MIRRORS = `[[registry]]
prefix = "x.test/foo"
location = "HERE/own"
insecure = true
[[registry.mirror]]
location = "HERE/m0"
insecure = true
[[registry.mirror]]
location = "HERE/m1/deep"
insecure = true
[[registry]]
prefix = "x.test/foo/special"
location = "HERE/special"
insecure = true
[[registry]]
prefix = "*.wild.test"
location = "HERE/wild"
insecure = true
[[registry]]
prefix = "digest.test"
location = "HERE/digest"
insecure = true
mirror-by-digest-only = true
[[registry.mirror]]
location = "HERE/by-digest"
insecure = true
[[registry]]
location = "HERE"
insecure = true
`;
const AUTHS = { "HERE/m0": auth("m0"), "HERE/own/image": auth("image"), HERE: auth("host") };

const CASES: readonly Case[] = [
  { name: "x.test/foo/image:1", conf: MIRRORS, auths: AUTHS, count: 3 },
  { name: "x.test/foo/image", conf: MIRRORS, auths: {}, count: 3 },
  { name: "x.test/foo/special/image", conf: MIRRORS, auths: AUTHS, count: 1 },
  { name: "x.test/foo/special:1", conf: MIRRORS, auths: AUTHS, count: 1 },
  { name: "a.b.wild.test/image", conf: MIRRORS, auths: AUTHS, count: 1 },
  { name: "digest.test/image:1", conf: MIRRORS, auths: AUTHS, count: 1 },
  { name: `digest.test/image@${DIGEST}`, conf: MIRRORS, auths: AUTHS, count: 2 },
  { name: "HERE/a/b/c", conf: MIRRORS, auths: { "HERE/a": auth("a"), "HERE/a/b": auth("ab") }, count: 1 },
  { name: "HERE/a/b", conf: MIRRORS, auths: { "HERE/a/b/c": auth("abc"), "HERE/ab": auth("ab") }, count: 1 },
  { name: "HERE/a", conf: MIRRORS, auths: { "https://HERE/v1/": auth("url") }, count: 1 },
  { name: "HERE/a", conf: MIRRORS, auths: { "http://HERE": auth("url"), HERE: auth("host") }, count: 1 },
  { name: "HERE/a", conf: MIRRORS, auths: { "HERE/v1/": auth("no URL") }, count: 1 },
];

for (const { name, conf, auths, count } of CASES) {
  testNeeding({ tool: "skopeo" })(
    `${name} with ${JSON.stringify(Object.keys(auths))} is looked for where skopeo looks`,
    async () => {
      const put = (text: string) => text.replaceAll("HERE", here);
      using places = testPlaces({
        "~/.config/containers/registries.conf": put(conf),
        "~/.docker/config.json": put(JSON.stringify({ auths })),
      });
      const byUs = await askedByUs(put(name), places);
      expect(byUs).toHaveLength(count);
      expect(byUs).toEqual(await askedBySkopeo(put(name), places));
    },
  );
}

const HOSTS = ["x.test", "a.x.test", "b.a.x.test", "y.test:80", "HERE"] as const;
const tables = fc.uniqueArray(
  fc.record({
    prefix: fc.oneof(
      { weight: 3, arbitrary: fc.tuple(fc.constantFrom(...HOSTS), fc.constantFrom("", "/a", "/a/b", "/ab")) },
      {
        weight: 1,
        arbitrary: fc.tuple(fc.constantFrom("*.x.test", "*.a.x.test", "*.test"), fc.constant("")),
      },
    ),
    byDigest: fc.boolean(),
    mirrors: fc.array(fc.constantFrom("", "all", "digest-only", "tag-only"), { maxLength: 3 }),
  }),
  { maxLength: 5, selector: ({ prefix }) => prefix.join("") },
);
const names = fc.tuple(
  fc.constantFrom(...HOSTS),
  fc.constantFrom("/a", "/a/b", "/ab/c", "/a/b/c"),
  fc.constantFrom("", ":1", `@${DIGEST}`),
);
const keys = fc.uniqueArray(fc.constantFrom("", "/p", "/p/0", "/p/1/a", "/m00", "/m00/a", "/m11", "/a"));

testNeeding({ tool: "skopeo" })(
  "random tables, names and credentials mean what they mean to skopeo",
  async () => {
    await fc.assert(
      fc.asyncProperty(tables, names, keys, fc.boolean(), async (registries, name, paths, url) => {
        const lines = registries.flatMap(({ prefix, byDigest, mirrors }, i) => [
          `[[registry]]\nprefix = "${prefix.join("")}"\nlocation = "HERE/p/${i}"\ninsecure = true`,
          `mirror-by-digest-only = ${byDigest}`,
          ...mirrors.flatMap((use, m) => [
            `[[registry.mirror]]\nlocation = "HERE/m${i}${m}"\ninsecure = true`,
            use === "" || byDigest ? "" : `pull-from-mirror = "${use}"`,
          ]),
        ]);
        if (!registries.some(({ prefix }) => prefix.join("") === "HERE"))
          lines.push('[[registry]]\nlocation = "HERE"\ninsecure = true');
        // an old URL as key is for what has no key of its own; several would be ambiguous
        const auths = Object.fromEntries(
          paths.map((path) => [`HERE${path}`, auth(`user${path.replaceAll("/", "-")}`)]),
        );
        if (url) auths["http://HERE/v1/"] = auth("url");
        const put = (text: string) => text.replaceAll("HERE", here);
        using places = testPlaces({
          "~/.config/containers/registries.conf": put(lines.join("\n")),
          "~/.docker/config.json": put(JSON.stringify({ auths })),
        });
        const text = put(name.join(""));
        // a wildcard leaves the port where it is, which makes no name; neither of the two asks anything then
        const byUs = await askedByUs(text, places).catch(() => []);
        expect(byUs).toEqual(await askedBySkopeo(text, places));
      }),
      { numRuns: 12, endOnFailure: true },
    );
  },
  60_000,
);

/** A file for each place, with a user who is named like it. */
function authFiles(paths: readonly string[]): Record<string, string> {
  const content = (path: string) => JSON.stringify({ auths: { [here]: auth(path.replace("~", "home")) } });
  return Object.fromEntries(paths.map((path) => [path, content(path)]));
}

const PLACES = [
  "~/.config/containers/auth.json",
  "/config/containers/auth.json",
  "~/.docker/config.json",
  "/docker/config.json",
  "/runtime/containers/auth.json",
  "/named.json",
];
const VARIABLES: Readonly<Record<string, string>> = {
  REGISTRY_AUTH_FILE: "/named.json",
  XDG_RUNTIME_DIR: "/runtime",
  XDG_CONFIG_HOME: "/config",
  DOCKER_CONFIG: "/docker",
};

for (const names of [
  [],
  ["XDG_RUNTIME_DIR"],
  ["XDG_CONFIG_HOME"],
  ["DOCKER_CONFIG"],
  ["REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"],
]) {
  for (const lacking of ["", PLACES[0]!, PLACES[2]!, PLACES[4]!]) {
    testNeeding({ tool: "skopeo" })(
      `with ${names.join(" and ") || "no variables"}, without ${lacking || "no file"}: the same file is found`,
      async () => {
        using places = testPlaces({
          "~/.config/containers/registries.conf": `[[registry]]\nlocation = "${here}"\ninsecure = true\n`,
          ...authFiles(PLACES.filter((path) => path !== lacking)),
        });
        const variables = Object.fromEntries(names.map((name) => [name, places.root + VARIABLES[name]]));
        const there = { ...places, environment: variables };
        expect(await askedByUs(`${here}/a`, there)).toEqual(await askedBySkopeo(`${here}/a`, there));
      },
    );
  }
}
