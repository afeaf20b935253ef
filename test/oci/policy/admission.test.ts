import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CfsError, describeError, kindOf } from "../../../src/errors.ts";
import { imagePolicy } from "../../../src/oci/policy/policy.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import { Scratch } from "../../repository/support.ts";
import { PROJECT } from "../../support/project.ts";
import { verdict } from "./support.ts";

const ACCEPT = [{ type: "insecureAcceptAnything" }];
const REJECT = [{ type: "reject" }];
const SIGNED = [{ type: "signedBy", keyType: "GPGKeys", keyPath: "/key" }];
const KEYLESS = [
  {
    type: "sigstoreSigned",
    fulcio: { caPath: "/ca", oidcIssuer: "https://issuer.example", subjectEmail: "a@example.org" },
    rekorPublicKeyPath: "/rekor",
  },
];

function answer(policy: unknown, reference: (scratch: Scratch) => string): string {
  using scratch = new Scratch();
  mkdirSync(scratch.join("images/app"), { recursive: true });
  symlinkSync("images", scratch.join("link"));
  const text = typeof policy === "string" ? policy : JSON.stringify(policy).replaceAll("$DIR", scratch.path);
  writeFileSync(scratch.join("policy.json"), text);
  try {
    imagePolicy(parseReference(reference(scratch)), scratch.join("policy.json")).admit();
    return "accepted";
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return `${kindOf(error)}: ${describeError(error)}`;
  }
}

const oci = (scratch: Scratch) => `oci:${scratch.join("images/app")}:v1`;
const throughLink = (scratch: Scratch) => `oci:${scratch.join("link/app")}:v1`;
const archive = (scratch: Scratch) => `oci-archive:${scratch.join("a.tar")}`;
const local = (scopes: object) => ({ default: REJECT, transports: { oci: scopes } });

describe("signature policy", () => {
  test.each<[string, unknown, (scratch: Scratch) => string, string]>([
    ["the default accepts", { default: ACCEPT }, oci, "accepted"],
    ["the default rejects", { default: REJECT }, oci, "Permission"],
    ["the transport's scope goes first", local({ "": ACCEPT }), oci, "accepted"],
    ["another transport's does not count", local({ "": ACCEPT }), archive, "Permission"],
    ["a directory above", local({ "$DIR/images": ACCEPT }), oci, "accepted"],
    ["the directory itself", local({ "$DIR/images/app": ACCEPT, "$DIR/images": REJECT }), oci, "accepted"],
    ["the tag", local({ "$DIR/images/app:v1": REJECT, "$DIR/images/app": ACCEPT }), oci, "Permission"],
    ["another tag", local({ "$DIR/images/app:v2": ACCEPT }), oci, "Permission"],
    ["links are resolved", local({ "$DIR/images/app": ACCEPT }), throughLink, "accepted"],
    ["a name that only begins the same", local({ "$DIR/ima": ACCEPT }), oci, "Permission"],
    ["all requirements must be met", { default: [...ACCEPT, ...REJECT] }, oci, "Permission"],
    ["signatures that can't be checked", { default: KEYLESS }, oci, "Unsupported"],
    ["a signature for a name that the image has not", { default: SIGNED }, oci, "Permission"],
    [
      "hosts in capitals",
      { default: ACCEPT, transports: { docker: { "Example.TEST:5000/app": REJECT } } },
      () => "docker://example.test:5000/app",
      "Permission",
    ],
    [
      "the same host in capitals and without",
      { default: ACCEPT, transports: { docker: { "a.test": ACCEPT, "A.test": REJECT } } },
      () => "docker://a.test/app",
      "Invalid",
    ],
    ["no requirement at all", { default: [] }, oci, "Invalid"],
    ["no default", { transports: {} }, oci, "Invalid"],
    ["no JSON", "{", oci, "Invalid"],
    ["a requirement without type", { default: [{}] }, oci, "Invalid"],
    [
      "a scope that is inherited",
      local(JSON.parse('{"__proto__": [{"type": "insecureAcceptAnything"}]}')),
      oci,
      "Invalid",
    ],
  ])("%s", (_, policy, reference, expected) => {
    expect(answer(policy, reference).split(":")[0]).toBe(expected);
  });

  test("a policy that is named must be there", () => {
    expect(() => imagePolicy(parseReference("oci:x"), "/nonexistent/policy.json")).toThrow("No such file");
  });
});

describe("where the policy is", () => {
  const inHome = async (home: string, action: () => Promise<string>) => {
    const before = process.env.HOME;
    process.env.HOME = home;
    try {
      return await action();
    } finally {
      process.env.HOME = before;
    }
  };

  test("the user's own", async () => {
    using scratch = new Scratch();
    const directory = scratch.join(".config/containers");
    mkdirSync(directory, { recursive: true });
    writeFileSync(`${directory}/policy.json`, JSON.stringify({ default: REJECT }));
    const found = await inHome(scratch.path, () => verdict(undefined, "oci:x"));
    expect(found).toBe(
      `Permission: signature policy ${directory}/policy.json: reject for oci:x (default): images from there are rejected`,
    );
  });

  const hasSystemPolicy = existsSync("/etc/containers/policy.json");
  if (hasSystemPolicy) console.log("skipped: this machine has a signature policy");
  test.skipIf(hasSystemPolicy)("none at all accepts everything", async () => {
    using scratch = new Scratch();
    expect(await inHome(scratch.path, () => verdict(undefined, "oci:x"))).toBe("accepted");
  });

  test("transports that keep no signatures", async () => {
    using scratch = new Scratch();
    const key = join(PROJECT, "fixtures/signature/openpgp/rsa.gpg");
    const file = scratch.join("policy.json");
    writeFileSync(file, JSON.stringify({ default: [{ ...SIGNED[0], keyPath: key }] }));
    const found = await verdict(file, "docker-daemon:busybox:1");
    expect(found).toEndWith("no signature found beside the image, as docker-daemon: has no place for one");
  });
});
