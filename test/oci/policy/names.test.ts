import { describe, expect, test } from "bun:test";
import { problemOfIdentity, problemOfNameless } from "../../../src/oci/policy/identity-rule.ts";
import { parseImageName } from "../../../src/oci/policy/image-name.ts";
import type { IdentityRule } from "../../../src/oci/policy/requirements.ts";
import { scopesOf } from "../../../src/oci/policy/scopes.ts";
import { wantedName } from "../../../src/oci/policy/subject.ts";
import { parseReference } from "../../../src/oci/reference.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;

describe("scopes, from specific to general", () => {
  test.each<[string, string[]]>([
    [
      "docker://busybox",
      [
        "docker.io/library/busybox:latest",
        "docker.io/library/busybox",
        "docker.io/library",
        "docker.io",
        "*.io",
        "",
      ],
    ],
    [
      `docker://a.example.com:5000/x/y@${DIGEST}`,
      [
        `a.example.com:5000/x/y@${DIGEST}`,
        "a.example.com:5000/x/y",
        "a.example.com:5000/x",
        "a.example.com:5000",
        "*.example.com",
        "*.com",
        "",
      ],
    ],
    [
      `docker://localhost/x:1@${DIGEST}`,
      [`localhost/x@${DIGEST}`, "localhost/x:1", "localhost/x", "localhost", ""],
    ],
    ["oci:/no/where:t", ["/no/where:t", "/no/where", "/no", ""]],
    ["oci-archive:/no/a.tar", ["/no/a.tar:", "/no/a.tar", "/no", ""]],
    ["dir:/no/where", ["/no/where", "/no", ""]],
    ["docker-archive:/no/a.tar", [""]],
    [`docker-daemon:${DIGEST}`, [""]],
    [
      "docker-daemon:busybox:1",
      [
        "docker.io/library/busybox:1",
        "docker.io/library/busybox",
        "docker.io/library",
        "docker.io",
        "*.io",
        "",
      ],
    ],
  ])("%s", (reference, expected) => {
    expect(scopesOf(parseReference(reference))).toEqual(expected);
  });
});

describe("the name that a signature has to be for", () => {
  const repository: IdentityRule = { type: "exactRepository", repository: "docker.io/library/busybox" };
  const reference: IdentityRule = { type: "exactReference", reference: parseImageName("busybox:1") };
  const remap: IdentityRule = {
    type: "remapIdentity",
    prefix: "mirror.test:5000/x",
    signedPrefix: "vendor.test",
  };
  const rule = (type: "matchExact" | "matchRepoDigestOrExact" | "matchRepository"): IdentityRule => ({
    type,
  });
  test.each<[IdentityRule, wanted: string, signed: string, accepted: boolean]>([
    [rule("matchExact"), "docker://busybox:1", "docker.io/library/busybox:1", true],
    [rule("matchExact"), "docker://busybox:1", "busybox:1", true],
    [rule("matchExact"), "docker://busybox:1", "busybox:2", false],
    [rule("matchExact"), "docker://busybox", "busybox", false],
    [rule("matchExact"), `docker://busybox@${DIGEST}`, "busybox:1", false],
    [rule("matchRepoDigestOrExact"), "docker://busybox:1", "busybox:1", true],
    [rule("matchRepoDigestOrExact"), "docker://busybox:1", "busybox:2", false],
    [rule("matchRepoDigestOrExact"), "docker://busybox:1", "busybox", false],
    [rule("matchRepoDigestOrExact"), `docker://busybox@${DIGEST}`, "busybox:2", true],
    [rule("matchRepoDigestOrExact"), `docker://busybox@${DIGEST}`, "busybox", true],
    [rule("matchRepoDigestOrExact"), `docker://busybox@${DIGEST}`, "other:2", false],
    [rule("matchRepoDigestOrExact"), `docker://busybox:1@${DIGEST}`, "busybox:1", true],
    [rule("matchRepoDigestOrExact"), `docker://busybox:1@${DIGEST}`, "busybox:2", false],
    [rule("matchRepository"), "docker://busybox:1", "busybox:2", true],
    [rule("matchRepository"), "docker://busybox:1", "busybox", true],
    [rule("matchRepository"), "docker://busybox:1", "evil.test/library/busybox:1", false],
    [rule("matchRepository"), "oci:x", "busybox:1", false],
    [rule("matchRepository"), "docker-daemon:busybox:1", "busybox:2", true],
    [reference, "oci:x", "docker.io/library/busybox:1", true],
    [reference, "docker://busybox:1", "busybox:2", false],
    [repository, "oci:x", "busybox:7", true],
    [repository, "docker://busybox:1", "busyboxes:1", false],
    [remap, "docker://mirror.test:5000/x/a:1", "vendor.test/a:1", true],
    [remap, "docker://mirror.test:5000/x/a:1", "mirror.test:5000/x/a:1", false],
    [remap, "docker://mirror.test:5000/xy/a:1", "mirror.test:5000/xy/a:1", true],
    [rule("matchRepository"), "docker://busybox:1", "Not A Name", false],
  ])("%j: %s, signed for %s: %p", (given, wanted, signed, accepted) => {
    const problem = problemOfIdentity(given, wantedName(parseReference(wanted)), signed);
    expect(problem === undefined).toBe(accepted);
  });

  test.each<[IdentityRule, wanted: string, accepted: boolean]>([
    [rule("matchRepository"), "docker://busybox:1", true],
    [rule("matchRepoDigestOrExact"), `docker://busybox@${DIGEST}`, true],
    [rule("matchRepoDigestOrExact"), "docker://busybox:1", false],
    [rule("matchRepoDigestOrExact"), `docker://busybox:1@${DIGEST}`, false],
    [rule("matchExact"), `docker://busybox@${DIGEST}`, false],
    [rule("matchRepository"), "oci:x", false],
    [repository, "docker://busybox:1", false],
    [remap, `docker://busybox@${DIGEST}`, false],
  ])("%j: %s, signed without a name: %p", (given, wanted, accepted) => {
    expect(problemOfNameless(given, wantedName(parseReference(wanted))) === undefined).toBe(accepted);
  });
});
