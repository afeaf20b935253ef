import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CfsError } from "../../../src/errors.ts";
import { formatDockerReference, parseDockerReference } from "../../../src/oci/registry/reference.ts";

const HEX = "0123456789abcdef".repeat(4);

describe("references", () => {
  test.each([
    ["alpine", "docker.io/library/alpine:latest"],
    ["alpine:3.20", "docker.io/library/alpine:3.20"],
    ["user/app", "docker.io/user/app:latest"],
    ["docker.io/alpine", "docker.io/library/alpine:latest"],
    ["index.docker.io/alpine:1", "docker.io/library/alpine:1"],
    ["INDEX.docker.IO/a/b", "docker.io/a/b:latest"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/app:v1", "localhost:5000/app:v1"],
    ["Registry.Example/org/app", "registry.example/org/app:latest"],
    ["registry.example:443/a/b/c:T.a-g_1", "registry.example:443/a/b/c:T.a-g_1"],
    ["127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"],
    ["[::1]:5000/team/app:v1", "[::1]:5000/team/app:v1"],
    ["[fe80::1]/app", "[fe80::1]/app:latest"],
    [`registry.example/a/b@sha256:${HEX}`, `registry.example/a/b@sha256:${HEX}`],
    [`registry.example/a/b:t@sha256:${HEX}`, `registry.example/a/b:t@sha256:${HEX}`],
    [`alpine@sha512:${HEX}${HEX}`, `docker.io/library/alpine@sha512:${HEX}${HEX}`],
    ["example.com/a.b/c_d/e__f/g--h", "example.com/a.b/c_d/e__f/g--h:latest"],
  ])("%s", (text, whole) => {
    expect(formatDockerReference(parseDockerReference(text))).toBe(whole);
  });

  test.each([
    ["", "the name of the repository is missing"],
    ["registry.example/", "the name of the repository is missing"],
    ["Alpine", "repository name must be lowercase"],
    ["registry.example/Org/app", "repository name must be lowercase"],
    ["registry.example/a//b", "'' can't be a part of a name"],
    ["registry.example/-a", "'-a' can't be a part of a name"],
    ["registry.example/a___b", "'a___b' can't be a part of a name"],
    ["registry.example/a/..", "'..' can't be a part of a name"],
    ["registry.example/a b", "'a b' can't be a part of a name"],
    ["registry.example/a:", "'' is no tag"],
    ["registry.example/a:.t", "'.t' is no tag"],
    [`registry.example/a:${"t".repeat(129)}`, "is no tag"],
    ["registry.example/a:b:c", "'b:c' is no tag"],
    ["registry.example/a@sha256:12", "is no digest"],
    ["registry.example/a@", "is no digest"],
    [`registry.example/a@md5:${HEX}`, "can't be verified"],
    ["host:port/a", "'host:port' is no host"],
    ["host:70000/a", "'host:70000' is no host"],
    ["-bad.example/a", "'-bad.example' is no host"],
    ["user@host.example/a", "'user@host.example' is no host"],
    [`example.com/${"a".repeat(250)}`, "longer than 255"],
  ])("%s is refused", (text, message) => {
    expect(() => parseDockerReference(text)).toThrow(message);
  });

  test("any text gives a reference that means the same when it is written out, or an error that says why", () => {
    const part = fc.constantFrom(
      "a",
      "B",
      "/",
      ":",
      "@",
      ".",
      "-",
      "_",
      "[",
      "]",
      "1",
      "é",
      "localhost",
      `sha256:${HEX}`,
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(part, { maxLength: 12 }).map((parts) => parts.join("")),
        ),
        (text) => {
          try {
            const reference = parseDockerReference(text);
            expect(parseDockerReference(formatDockerReference(reference))).toEqual(reference);
          } catch (error) {
            if (!(error instanceof CfsError)) throw error;
          }
        },
      ),
    );
  });
});
