import { describe, expect, test } from "bun:test";
import { readRegistriesConf } from "../../../src/oci/containers/registries-conf-files.ts";
import { parseImageNames, resolveShortName } from "../../../src/oci/containers/short-names.ts";
import { failure, testPlaces } from "./support.ts";

const MAIN = "/etc/containers/registries.conf";
const DIGEST = `sha256:${"ab".repeat(32)}`;
const ALIASES = '[aliases]\n"alpine" = "docker.io/library/alpine"\n"team/app" = "registry.test/team/app"\n';

function named(text: string, content: string): string[] {
  using places = testPlaces({ [MAIN]: content });
  return parseImageNames(text, () => readRegistriesConf(places)).map((reference) => reference.text);
}

describe("names without a transport", () => {
  test.each<[text: string, content: string, expected: string[]]>([
    ["alpine", ALIASES, ["docker://docker.io/library/alpine:latest"]],
    ["alpine:3", ALIASES, ["docker://docker.io/library/alpine:3"]],
    [`alpine@${DIGEST}`, ALIASES, [`docker://docker.io/library/alpine@${DIGEST}`]],
    ["team/app:1", ALIASES, ["docker://registry.test/team/app:1"]],
    ["host.test/a", "", ["docker://host.test/a:latest"]],
    ["localhost/a", "", ["docker://localhost/a:latest"]],
    ["localhost:5000/a:1", "", ["docker://localhost:5000/a:1"]],
    ["a/b", 'unqualified-search-registries = ["x.test"]', ["docker://x.test/a/b:latest"]],
    ["a", 'unqualified-search-registries = ["docker.io"]', ["docker://docker.io/library/a:latest"]],
    [
      "a:1",
      'unqualified-search-registries = ["x.test", "y.test:5000"]',
      ["docker://x.test/a:1", "docker://y.test:5000/a:1"],
    ],
    // aliases go before searching
    [
      "alpine",
      `unqualified-search-registries = ["x.test"]\n${ALIASES}`,
      ["docker://docker.io/library/alpine:latest"],
    ],
    ["docker://a", `unqualified-search-registries = ["x.test"]\n${ALIASES}`, ["docker://a"]],
    ["oci:dir:tag", 'unqualified-search-registries = ["x.test"]', ["oci:dir:tag"]],
  ])("%s with %j", (text, content, expected) => {
    expect(named(text, content)).toEqual(expected);
  });

  test.each([
    ["nothing", ALIASES, "Missing ':' in nothing"],
    ["nothing:1", ALIASES, "Invalid transport: nothing"],
    ["./a/b", ALIASES, "Missing ':' in ./a/b"],
    ["/a.b/c:d", ALIASES, "Invalid transport: /a.b/c"],
    ["", ALIASES, "Missing ':' in "],
  ])("%s stays what it is: no reference", (text, content, message) => {
    expect(failure(() => named(text, content))).toBe(message);
  });

  test("with short-name-mode enforcing, several registries are too many", () => {
    const content = 'unqualified-search-registries = ["x.test", "y.test"]\nshort-name-mode = "enforcing"';
    expect(failure(() => named("a", content))).toBe(
      "the short name a may mean an image of several registries",
    );
    expect(named("a", content.replace(', "y.test"', ""))).toEqual(["docker://x.test/a:latest"]);
  });

  test.each([["short"], ["x.test/a:1"], ["x.test/A"]])("an alias for %s is refused", (value) => {
    expect(failure(() => named("n", `[aliases]\nn = "${value}"`))).toContain(`the alias "n" = "${value}"`);
  });

  test("what needs no configuration reads none", () => {
    const none = () => {
      throw new Error("it was read");
    };
    expect(resolveShortName("a.test/b", none)).toHaveLength(1);
    expect(parseImageNames("oci:x", none)).toHaveLength(1);
  });
});
