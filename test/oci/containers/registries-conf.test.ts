import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CfsError, kindOf } from "../../../src/errors.ts";
import { endpointsOf } from "../../../src/oci/containers/endpoints.ts";
import type { Places } from "../../../src/oci/containers/places.ts";
import { parseRegistriesConf } from "../../../src/oci/containers/registries-conf.ts";
import { readRegistriesConf } from "../../../src/oci/containers/registries-conf-files.ts";
import { parseDockerReference } from "../../../src/oci/registry/reference.ts";
import { failure, testPlaces } from "./support.ts";

const MAIN = "/etc/containers/registries.conf";
const DIGEST = `sha256:${"ab".repeat(32)}`;

/** `host/path`, with `!` at the end where it is insecure. */
function endpoints(name: string, places: Places): string[] {
  return endpointsOf(parseDockerReference(name), readRegistriesConf(places)).map(
    ({ host, path, insecure }) => `${host}/${path}${insecure ? "!" : ""}`,
  );
}

/** The example of containers-registries.conf(5). */
const MAN_PAGE = `unqualified-search-registries = ["example.com"]

[[registry]]
prefix = "example.com/foo"
insecure = false
blocked = false
location = "internal-registry-for-example.com/bar"

[[registry.mirror]]
location = "example-mirror-0.local/mirror-for-foo"

[[registry.mirror]]
location = "example-mirror-1.local/mirrors/foo"
insecure = true

[[registry]]
location = "registry.com"

[[registry.mirror]]
location = "mirror.registry.com"
`;

describe("endpoints", () => {
  test.each<[name: string, expected: string[]]>([
    [
      "example.com/foo/image:latest",
      [
        "example-mirror-0.local/mirror-for-foo/image",
        "example-mirror-1.local/mirrors/foo/image!",
        "internal-registry-for-example.com/bar/image",
      ],
    ],
    ["registry.com/image:latest", ["mirror.registry.com/image", "registry.com/image"]],
    ["example.com/foobar", ["example.com/foobar"]],
    [
      "example.com/foo:1",
      [
        "example-mirror-0.local/mirror-for-foo",
        "example-mirror-1.local/mirrors/foo!",
        "internal-registry-for-example.com/bar",
      ],
    ],
    ["registry.com:5000/image", ["mirror.registry.com:5000/image", "registry.com:5000/image"]],
    ["alpine", ["docker.io/library/alpine"]],
  ])("man page: %s", (name, expected) => {
    using places = testPlaces({ [MAIN]: MAN_PAGE });
    expect(endpoints(name, places)).toEqual(expected);
  });

  const RULES = `
[[registry]]
prefix = "*.example.com"
insecure = true
[[registry.mirror]]
location = "mirror.test:5000/wild"

[[registry]]
prefix = "*.b.example.com"
location = "other.test"

[[registry]]
prefix = "a.example.com/x"
location = "a.example.com/y"

[[registry]]
prefix = "a.example.com/x/one:tagged"
location = "tagged.test/one:tagged"

[[registry]]
prefix = "uses.test"
location = "uses.test/"
[[registry.mirror]]
location = "digest.test"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tag.test"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "all.test"
pull-from-mirror = "all"

[[registry]]
location = "old.test"
mirror-by-digest-only = true
[[registry.mirror]]
location = "mirror.old.test"

[[registry]]
prefix = "hub.test"
location = "docker.io"

[[registry]]
prefix = "docker.io/library"
location = "cache.test/hub"
`;

  test.each<[name: string, expected: string[]]>([
    ["example.com/a", ["example.com/a"]],
    ["x.example.com/a", ["mirror.test:5000/wild/a", "x.example.com/a!"]],
    ["x.y.example.com/a", ["mirror.test:5000/wild/a", "x.y.example.com/a!"]],
    ["x.b.example.com/a", ["other.test/a"]],
    ["badexample.com/a.example.com", ["badexample.com/a.example.com"]],
    ["a.example.com/x/one", ["a.example.com/y/one"]],
    ["a.example.com/x/one:tagged", ["tagged.test/one"]],
    ["a.example.com/xx", ["mirror.test:5000/wild/xx", "a.example.com/xx!"]],
    ["uses.test/a:1", ["tag.test/a", "all.test/a", "uses.test/a"]],
    [`uses.test/a@${DIGEST}`, ["digest.test/a", "all.test/a", "uses.test/a"]],
    [`uses.test/a:1@${DIGEST}`, ["digest.test/a", "all.test/a", "uses.test/a"]],
    ["old.test/a:1", ["old.test/a"]],
    [`old.test/a@${DIGEST}`, ["mirror.old.test/a", "old.test/a"]],
    ["hub.test/alpine", ["docker.io/library/alpine"]],
    ["alpine:3", ["cache.test/hub/alpine"]],
    ["docker.io/user/alpine", ["docker.io/user/alpine"]],
  ])("rules: %s", (name, expected) => {
    using places = testPlaces({ [MAIN]: RULES });
    expect(endpoints(name, places)).toEqual(expected);
  });

  test("to push, there are neither mirrors nor other names", () => {
    using places = testPlaces({ [MAIN]: `${MAN_PAGE}[[registry]]\nlocation = "b.test"\nblocked = true\n` });
    const conf = readRegistriesConf(places);
    const push = (name: string) => endpointsOf(parseDockerReference(name), conf, "push");
    expect(push("example.com/foo/image")).toEqual([
      { host: "example.com", path: "foo/image", insecure: false },
    ]);
    expect(failure(() => push("b.test/a"))).toContain("is blocked");
  });

  test("the host of a blocked registry is the same in capitals", () => {
    using places = testPlaces({ [MAIN]: '[[registry]]\nlocation = "Bad.TEST/a"\nblocked = true\n' });
    for (const name of ["bad.test/a", "BAD.test/a/b"])
      expect(() => endpoints(name, places)).toThrow("registry bad.test/a is blocked");
  });

  test("a blocked registry is refused, with the file that says so", () => {
    using places = testPlaces({ [MAIN]: '[[registry]]\nlocation = "bad.test/a"\nblocked = true\n' });
    let error: unknown;
    try {
      endpoints("bad.test/a/b", places);
    } catch (e) {
      error = e;
    }
    expect(kindOf(error)).toBe("Permission");
    expect((error as Error).message).toBe(`registry bad.test/a is blocked in ${places.root}${MAIN}`);
    expect(endpoints("bad.test/ab", places)).toEqual(["bad.test/ab"]);
  });

  test.each([
    ["single.test/a", 'prefix = "single.test"\nlocation = "single"', "must begin with a host"],
    ["upper.test/a", 'prefix = "upper.test"\nlocation = "x.test/Upper"', "repository name must be lowercase"],
    ["tag.test/a:1", 'prefix = "tag.test/a:1"\nlocation = "x.test/a:2"', "must not change tag or digest"],
  ])("%s: what a name is turned into must be a name", (name, table, message) => {
    using places = testPlaces({ [MAIN]: `[[registry]]\n${table}\n` });
    expect(failure(() => endpoints(name, places))).toContain(message);
  });
});

describe("files", () => {
  const registry = (prefix: string, location: string) =>
    `[[registry]]\nprefix = "${prefix}"\nlocation = "${location}"\n`;
  const FILES = {
    [MAIN]: `unqualified-search-registries = ["main.test"]\ncredential-helpers = ["a"]\n${registry("one.test", "main.test")}${registry("two.test", "main.test")}[aliases]\n"x" = "main.test/x"\n"y" = "main.test/y"\n"z" = "main.test/z"\n`,
    "/etc/containers/registries.conf.d/10.conf": `short-name-mode = "enforcing"\n${registry("one.test", "ten.test")}[aliases]\n"x" = "ten.test/x"\n"y" = ""\n`,
    "/etc/containers/registries.conf.d/09.conf": `${registry("one.test", "nine.test")}${registry("three.test", "nine.test")}`,
    "/etc/containers/registries.conf.d/readme.txt": "not TOML",
    "~/.config/containers/registries.conf.d/00.conf": `unqualified-search-registries = ["user.test"]\n`,
  };

  test("drop-in files replace what they speak of, those of the user last", () => {
    using places = testPlaces(FILES);
    const conf = readRegistriesConf(places);
    expect([...conf.registries.values()].map((t) => `${t.prefix} ${t.location}`).sort()).toEqual([
      "one.test ten.test",
      "three.test nine.test",
      "two.test main.test",
    ]);
    expect(conf.searchRegistries).toEqual(["user.test"]);
    expect(conf.credentialHelpers).toEqual(["a"]);
    expect(conf.shortNameMode).toBe("enforcing");
    expect(Object.fromEntries(conf.aliases)).toEqual({ x: "ten.test/x", z: "main.test/z" });
  });

  test("the user's file replaces all of the system's", () => {
    using places = testPlaces({ ...FILES, "~/.config/containers/registries.conf": "" });
    const conf = readRegistriesConf(places);
    expect([...conf.registries]).toEqual([]);
    expect(conf.searchRegistries).toEqual(["user.test"]);
    expect(conf.credentialHelpers).toEqual(["containers-auth.json"]);
    expect(conf.shortNameMode).toBe("permissive");
  });

  test("CONTAINERS_REGISTRIES_CONF replaces the main file", () => {
    using other = testPlaces({ "/other.conf": registry("one.test", "other.test") });
    using places = testPlaces(
      { ...FILES, "~/.config/containers/registries.conf": "" },
      { CONTAINERS_REGISTRIES_CONF: `${other.root}/other.conf` },
    );
    const conf = readRegistriesConf(places);
    expect(conf.registries.get("one.test")?.location).toBe("ten.test");
    expect(conf.registries.has("two.test")).toBe(false);
    const missing = { ...places, environment: { CONTAINERS_REGISTRIES_CONF: "/nowhere.conf" } };
    expect(failure(() => readRegistriesConf(missing))).toBe(
      "/nowhere.conf, which CONTAINERS_REGISTRIES_CONF names, does not exist",
    );
  });

  test("names that other tools recorded go before all", () => {
    const recorded = '[aliases]\n"x" = "recorded.test/x"\n';
    using root = testPlaces({ ...FILES, "/var/cache/containers/short-name-aliases.conf": recorded });
    expect(readRegistriesConf(root).aliases.get("x")).toBe("recorded.test/x");
    using user = testPlaces({ ...FILES, "~/.cache/containers/short-name-aliases.conf": recorded }, {}, 1000);
    expect(readRegistriesConf(user).aliases.get("x")).toBe("recorded.test/x");
  });

  test("without files there is nothing", () => {
    using places = testPlaces({});
    expect(endpoints("a.test/b", places)).toEqual(["a.test/b"]);
  });
});

describe("format", () => {
  const parse = (text: string, main = true) => parseRegistriesConf(text, "FILE", main);

  test("version 1: the example of the man page", () => {
    const conf = parse(`[registries.search]
registries = ['registry1.com', 'registry2.com']

[registries.insecure]
registries = ['registry3.com']

[registries.block]
registries = ['registry.untrusted.com', 'registry.unsafe.com']
`);
    expect(conf.searchRegistries).toEqual(["registry1.com", "registry2.com"]);
    expect(conf.registries.map((t) => [t.prefix, t.insecure, t.blocked])).toEqual([
      ["registry3.com", true, false],
      ["registry.untrusted.com", false, true],
      ["registry.unsafe.com", false, true],
    ]);
  });

  test.each([
    ["no TOML", "[[registry", "FILE is not valid TOML"],
    ["a deep nest", `a = ${"[".repeat(100_000)}`, "FILE is not valid TOML"],
    ["one table", '[registry]\nlocation = "a.b"', "must be written [[registry]]"],
    ["no names", "[[registry]]\ninsecure = true", 'has neither "location" nor "prefix"'],
    ["a prefix alone", '[[registry]]\nprefix = "a.b"', '"location" is missing'],
    ["a URL", '[[registry]]\nlocation = "https://a.b"', "must not begin with http:// or https://"],
    ["a wildcard inside", '[[registry]]\nprefix = "a.*.b"\nlocation = "x.y"', "must have the form *.DOMAIN"],
    [
      "a wildcard with a path",
      '[[registry]]\nprefix = "*.a/b"\nlocation = "x.y"',
      "must have the form *.DOMAIN",
    ],
    ["a wildcard location", '[[registry]]\nlocation = "*.a"', 'belongs to "prefix"'],
    [
      "a quoted boolean",
      '[[registry]]\nlocation = "a.b"\ninsecure = "true"',
      '"insecure" must be true or false',
    ],
    ["a number", "[[registry]]\nlocation = 5", '"location" must be a string'],
    [
      "a mirror without a place",
      '[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\ninsecure = true',
      'missing field "location"',
    ],
    [
      "an unknown use",
      '[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\nlocation = "c.d"\npull-from-mirror = "never"',
      'it is "never"',
    ],
    [
      "two rules for mirrors",
      '[[registry]]\nlocation = "a.b"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "c.d"\npull-from-mirror = "all"',
      "contradicts",
    ],
    [
      "two rules for a place",
      '[[registry]]\nlocation = "a.b"\n[[registry]]\nprefix = "c.d"\nlocation = "a.b"\ninsecure = true',
      'differ in "insecure"',
    ],
    ["an unknown mode", 'short-name-mode = "ask"', "must be enforcing, permissive, disabled"],
    ["a text for a list", 'unqualified-search-registries = "a.b"', "must be an array of strings"],
    ["an alias that is none", "[aliases]\na = 1", '"a" must be a string'],
    [
      "both versions",
      "unqualified-search-registries = []\n[registries.search]\nregistries = []",
      "mixes version 1",
    ],
  ])("refuses %s", (_name, text, message) => {
    expect(failure(() => parse(text))).toContain(message);
    expect(failure(() => parse(text))).toContain("FILE");
  });

  test("drop-in files have version 2", () => {
    expect(failure(() => parse("[registries.search]\nregistries = []", false))).toContain("version 2");
  });

  test("whatever the text, there is a value or an error of ours", () => {
    const words = [
      "[[registry]]\n",
      "[[registry.mirror]]\n",
      'location = "a.b"\n',
      'prefix = "*.c"\n',
      "[aliases]\n",
      '"',
      "=",
      "\n",
      "insecure = true\n",
      "[registries.search]\n",
      "x = [1, {a = 1}]\n",
    ];
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.constantFrom(...words), fc.string())), (parts) => {
        try {
          parse(parts.join(""));
        } catch (error) {
          if (!(error instanceof CfsError)) throw error;
        }
      }),
    );
  });
});
