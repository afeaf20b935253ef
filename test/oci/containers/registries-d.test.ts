import { describe, expect, test } from "bun:test";
import { signatureStorage } from "../../../src/oci/containers/registries-d.ts";
import { parseDockerReference } from "../../../src/oci/registry/reference.ts";
import { failure, testPlaces } from "./support.ts";

/** The examples of containers-registries.d(5). */
const MAN_PAGE = {
  "/etc/containers/registries.d/origins.yaml": `docker:
    registry.database-supplier.com:
        lookaside: https://lookaside.database-supplier.com
    distribution.great-middleware.org:
        lookaside: https://security-team.great-middleware.org/lookaside
    docker.io/web-framework:
        lookaside: https://lookaside.web-framework.io:8080
`,
  "/etc/containers/registries.d/developers.yaml": `docker:
    registry.example.com:
        lookaside: https://registry-lookaside.example.com
    registry.example.com/mydepartment:
        lookaside: https://lookaside.mydepartment.example.com
        lookaside-staging: file:///mnt/mydepartment/lookaside-staging
    registry.example.com/mydepartment/myproject:mybranch:
        lookaside: http://localhost:4242/lookaside
        lookaside-staging: file:///home/useraccount/webroot/lookaside
`,
};

describe("registries.d", () => {
  test.each([
    ["registry.database-supplier.com/db:1", "https://lookaside.database-supplier.com"],
    ["distribution.great-middleware.org/a/b/c", "https://security-team.great-middleware.org/lookaside"],
    ["docker.io/web-framework/x", "https://lookaside.web-framework.io:8080"],
    ["registry.example.com/other", "https://registry-lookaside.example.com"],
    ["registry.example.com/mydepartment/myproject", "https://lookaside.mydepartment.example.com"],
    ["registry.example.com/mydepartment/myproject:mybranch", "http://localhost:4242/lookaside"],
  ])("man page: %s", (name, lookaside) => {
    using places = testPlaces(MAN_PAGE);
    expect(signatureStorage(parseDockerReference(name), places)).toEqual({
      lookaside,
      useSigstoreAttachments: false,
    });
  });

  const LEVELS = {
    "~/.config/containers/registries.d/a.yaml": `default-docker:
  lookaside: file:///default/
docker:
  example.com:5000:
    sigstore: file:///host
  example.com:5000/a/b:
    use-sigstore-attachments: true
  "*.wild.example":
    use-sigstore-attachments: yes
  empty.example:
`,
    // the user's directory makes it count for nothing
    "/etc/containers/registries.d/b.yaml": "default-docker: {lookaside: 'file:///system'}",
  };

  test.each([
    // each setting is looked for by itself, as skopeo does
    ["example.com:5000/a/b:1", "file:///host", true],
    ["example.com:5000/a", "file:///host", false],
    ["example.com/a/b", "file:///default", false],
    ["x.wild.example/a", "file:///default", true],
    ["wild.example/a", "file:///default", false],
    ["empty.example/a", "file:///default", false],
  ])("levels: %s", (name, lookaside, useSigstoreAttachments) => {
    using places = testPlaces(LEVELS);
    expect(signatureStorage(parseDockerReference(name), places)).toEqual({
      lookaside,
      useSigstoreAttachments,
    });
  });

  test("without files, signatures are in a directory of root's or of the user's", () => {
    using root = testPlaces({});
    const reference = parseDockerReference("example.com/a");
    expect(signatureStorage(reference, root).lookaside).toBe(
      `file://${root.root}/var/lib/containers/sigstore`,
    );
    using user = testPlaces({}, {}, 1000);
    expect(signatureStorage(reference, user).lookaside).toBe(
      `file://${user.home}/.local/share/containers/sigstore`,
    );
  });

  test.each([
    ["not YAML", "docker: [", "a.yaml is not valid YAML"],
    ["a list", "- a", "a.yaml: the document is not an object"],
    ["a text for a section", "docker: {x.y: z}", 'a.yaml: "docker: x.y" is not an object'],
    ["a path", "docker: {x.y: {lookaside: /a}}", "must be an http, https or file URL"],
    ["a number", "docker: {x.y: {use-sigstore-attachments: 1}}", "must be true or false"],
    ["a deep nest", "[".repeat(100_000), "a.yaml is not valid YAML"],
  ])("refuses %s", (_name, content, message) => {
    using places = testPlaces({ "/etc/containers/registries.d/a.yaml": content });
    expect(failure(() => signatureStorage(parseDockerReference("x.y/a"), places))).toContain(message);
  });

  test("refuses a scope that two files have", () => {
    const content = "docker: {x.y: {lookaside: 'https://a'}}";
    using places = testPlaces({
      "/etc/containers/registries.d/a.yaml": content,
      "/etc/containers/registries.d/b.yaml": content,
    });
    expect(failure(() => signatureStorage(parseDockerReference("x.y/a"), places))).toMatch(
      /b\.yaml: "docker: x\.y" is defined in .*a\.yaml already/,
    );
  });
});
