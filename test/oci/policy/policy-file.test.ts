import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CfsError, describeError } from "../../../src/errors.ts";
import { parsePolicy } from "../../../src/oci/policy/policy-file.ts";

const ACCEPT = [{ type: "insecureAcceptAnything" }];
const SIGNED = { type: "signedBy", keyType: "GPGKeys", keyPath: "/key" };
const SIGSTORE = { type: "sigstoreSigned", keyPath: "/key" };

function answer(policy: unknown): string {
  const text = typeof policy === "string" ? policy : JSON.stringify(policy);
  try {
    parsePolicy(Buffer.from(text), "FILE");
    return "read";
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return describeError(error);
  }
}
const withRequirement = (...requirements: unknown[]) => ({ default: requirements });
const withScope = (transport: string, scope: string) => ({
  default: ACCEPT,
  transports: { [transport]: { [scope]: ACCEPT } },
});
const withIdentity = (signedIdentity: unknown) => withRequirement({ ...SIGNED, signedIdentity });

describe("policy.json: what is read", () => {
  test.each<[string, unknown]>([
    ["signedBy with a file", withRequirement(SIGNED)],
    [
      "signedBy with files",
      withRequirement({ type: "signedBy", keyType: "GPGKeys", keyPaths: ["/a", "/b"] }),
    ],
    ["signedBy with data", withRequirement({ type: "signedBy", keyType: "GPGKeys", keyData: "AAAA" })],
    ["sigstoreSigned", withRequirement(SIGSTORE)],
    [
      "sigstoreSigned with several keys",
      withRequirement({ type: "sigstoreSigned", keyDatas: ["AAAA", "BBBB"] }),
    ],
    ["a transparency log", withRequirement({ ...SIGSTORE, rekorPublicKeyPaths: ["/rekor"] })],
    ["fulcio", withRequirement({ type: "sigstoreSigned", fulcio: {}, rekorPublicKeyData: "AAAA" })],
    ["pki", withRequirement({ type: "sigstoreSigned", pki: {} })],
    ["an exact reference", withIdentity({ type: "exactReference", dockerReference: "busybox:1" })],
    ["an exact repository", withIdentity({ type: "exactRepository", dockerRepository: "busybox" })],
    [
      "another prefix",
      withIdentity({ type: "remapIdentity", prefix: "a.test:5000/x", signedPrefix: "b.test" }),
    ],
    ["a transport that is not known", withScope("atomic", "host:5000/x")],
    ["scopes of docker", withScope("docker", "*.example.com")],
    ["scopes of directories", withScope("dir", "/a/b")],
    [
      "escapes in names",
      '{"default": [{"type": "reject"}], "transports": {"docker": {"a\\"}{:": [{"type":"reject"}]}}}',
    ],
  ])("%s", (_, policy) => {
    expect(answer(policy)).toBe("read");
  });
});

describe("policy.json: what is refused", () => {
  test.each<[string, unknown, string]>([
    ["no JSON", "{", "is not JSON"],
    ["another field", { default: ACCEPT, extra: 1 }, '"extra" is not a known field'],
    [
      "a field twice",
      '{"default": [{"type": "reject"}], "default": [{"type": "insecureAcceptAnything"}]}',
      "twice",
    ],
    [
      "a field twice in depth",
      '{"default": [{"type": "reject", "ty\\u0070e": "insecureAcceptAnything"}]}',
      "twice",
    ],
    ["no default", { transports: {} }, '"default"'],
    ["an empty default", { default: [] }, "empty list"],
    ["another type", withRequirement({ type: "signedBaseLayer" }), "not a known type"],
    ["a field of another type", withRequirement({ type: "reject", keyPath: "/a" }), "not a known field"],
    ["a field in vain", withRequirement({ ...SIGNED, keyDatas: ["AAAA"] }), "not a known field"],
    ["no kind of key", withRequirement({ type: "signedBy", keyPath: "/a" }), '"keyType"'],
    ["another kind of key", withRequirement({ ...SIGNED, keyType: "X509" }), '"keyType" must be'],
    ["no key", withRequirement({ type: "signedBy", keyType: "GPGKeys" }), "exactly one of"],
    ["two ways to keys", withRequirement({ ...SIGNED, keyData: "AAAA" }), "exclude each other"],
    ["no keys in a list", withRequirement({ type: "sigstoreSigned", keyPaths: [] }), "is empty"],
    ["a key that is no text", withRequirement({ ...SIGNED, keyPath: 1 }), "must be a string"],
    ["no base64", withRequirement({ type: "sigstoreSigned", keyData: "A*==" }), "is not base64"],
    ["a key and fulcio", withRequirement({ ...SIGSTORE, fulcio: {} }), "exactly one of"],
    ["an identity of another type", withIdentity({ type: "matchAny" }), "not a known type"],
    ["an identity with another field", withIdentity({ type: "matchExact", a: 1 }), "not a known field"],
    [
      "an exact reference without tag",
      withIdentity({ type: "exactReference", dockerReference: "busybox" }),
      "neither",
    ],
    [
      "a prefix with a tag",
      withIdentity({ type: "remapIdentity", prefix: "a.test/x:1", signedPrefix: "b.test" }),
      "must be HOST",
    ],
    [
      "a prefix without host",
      withIdentity({ type: "remapIdentity", prefix: "busybox", signedPrefix: "b.test" }),
      "must be HOST",
    ],
    ["a relative path", withScope("dir", "images"), "must be an absolute path"],
    ["the root", withScope("oci", "/"), 'must be written as ""'],
    ["a path with detours", withScope("oci", "/a/../b"), "shortest form"],
    ["a path with a slash at the end", withScope("dir", "/a/"), "shortest form"],
    ["a scope of docker-archive", withScope("docker-archive", "/a"), "only the empty one"],
    ["an ID as scope", withScope("docker-daemon", `sha256:${"0".repeat(64)}`), "no scopes"],
  ])("%s", (_, policy, expected) => {
    const found = answer(policy);
    expect(found).toStartWith("signature policy FILE: ");
    expect(found).toContain(expected);
  });

  test("random JSON is read or refused in words", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        answer(text);
        answer({ default: [JSON.parse(text)] });
      }),
    );
  });
});
