import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import { computeDigest, digestHex } from "../../../src/oci/digest.ts";
import { parseIndex } from "../../../src/oci/index.ts";
import { parseManifest } from "../../../src/oci/manifest.ts";
import { OCI_MANIFEST } from "../../../src/oci/media-types.ts";
import { SIGNATURE_ANNOTATION } from "../../../src/oci/policy/cosign-signature.ts";
import type { FoundManifest } from "../../../src/oci/source.ts";
import { Scratch } from "../../repository/support.ts";
import { FakeSource, FIXTURES, fixture, fixtureSource, IMAGE, verdict } from "./support.ts";

const HOST = "127.0.0.1:5993";
const SIGNED = { type: "signedBy", keyType: "GPGKeys", keyPath: `${FIXTURES}/signer.gpg` };
const SIGSTORE = { type: "sigstoreSigned", keyPath: `${FIXTURES}/cosign.pub` };
const repository = { signedIdentity: { type: "matchRepository" } };
const OTHER: FoundManifest = {
  bytes: new Uint8Array(),
  digest: computeDigest(new Uint8Array()),
  mediaType: OCI_MANIFEST,
};
/** Another image, chosen from an index that the fixtures' signatures are of. */
const CHOSEN: FoundManifest = { ...OTHER, index: IMAGE };

let scratch: Scratch;
let home: string | undefined;
beforeAll(() => {
  scratch = new Scratch();
  home = process.env.HOME;
  process.env.HOME = scratch.path;
});
afterAll(() => {
  process.env.HOME = home;
  scratch[Symbol.dispose]();
});

function policy(...requirements: object[]): string {
  const file = scratch.join("policy.json");
  writeFileSync(file, JSON.stringify({ default: requirements }));
  return file;
}

function useLookaside(url: string): void {
  const directory = scratch.join(".config/containers/registries.d");
  mkdirSync(directory, { recursive: true });
  writeFileSync(`${directory}/test.yaml`, `docker:\n  ${HOST}:\n    lookaside: ${url}\n`);
}

/** Found lookaside signatures for other names by placing the one that we have there. */
function lookasideFor(path: string, digest = IMAGE.digest): string {
  const folder = scratch.join(`lookaside/${path}@sha256=${digestHex(digest)}`);
  mkdirSync(folder, { recursive: true });
  const name = `team/simple@sha256=${digestHex(IMAGE.digest)}/signature-1`;
  copyFileSync(`${FIXTURES}/lookaside/${name}`, `${folder}/signature-1`);
  return `file://${scratch.join("lookaside")}`;
}

describe("simple signatures by skopeo and GnuPG", () => {
  test("in a lookaside directory", async () => {
    useLookaside(`file://${FIXTURES}/lookaside`);
    const at = (name: string) => verdict(policy(SIGNED), `docker://${HOST}/team/${name}`);
    expect(await at("simple:v1")).toBe("accepted");
    expect(await at(`simple@${IMAGE.digest}`)).toBe("accepted");
    expect(await at("simple:v2")).toEndWith(
      `signature-1: the signature is for ${HOST}/team/simple:v1, not for ${HOST}/team/simple:v2`,
    );
    expect(await at("none:v1")).toEndWith(
      `signedBy for docker://${HOST}/team/none:v1 (default): no signature found at file://${FIXTURES}/lookaside/team/none@sha256=${digestHex(IMAGE.digest)}`,
    );
  });

  test("the signature of another name, digest or key does not do", async () => {
    useLookaside(lookasideFor("team/other"));
    expect(await verdict(policy(SIGNED), `docker://${HOST}/team/other:v1`)).toContain("the signature is for");
    useLookaside(lookasideFor("team/simple", OTHER.digest));
    const other = await verdict(
      policy(SIGNED),
      `docker://${HOST}/team/simple:v1`,
      fixtureSource("none"),
      OTHER,
    );
    expect(other).toEndWith(`the signature is for ${IMAGE.digest}, not for ${OTHER.digest}`);
    const stranger = { ...SIGNED, keyPath: `${FIXTURES}/../../signature/openpgp/ed25519.gpg` };
    useLookaside(`file://${FIXTURES}/lookaside`);
    expect(await verdict(policy(stranger), `docker://${HOST}/team/simple:v1`)).toEndWith(
      "which is not in the keyring",
    );
  });

  test("of the index that the image was chosen from", async () => {
    useLookaside(`file://${FIXTURES}/lookaside`);
    const found = await verdict(
      policy(SIGNED),
      `docker://${HOST}/team/simple:v1`,
      fixtureSource("none"),
      CHOSEN,
    );
    expect(found).toBe("accepted");
  });

  test("all requirements must be met", async () => {
    useLookaside(`file://${FIXTURES}/lookaside`);
    const both = policy(SIGNED, { ...SIGSTORE, ...repository });
    expect(await verdict(both, `docker://${HOST}/team/simple:v1`)).toContain("sigstoreSigned for");
  });

  test("beside a dir:", async () => {
    const directory = scratch.join("image");
    mkdirSync(directory);
    const exact = { signedIdentity: { type: "exactRepository", dockerRepository: `${HOST}/team/simple` } };
    const reference = `dir:${directory}`;
    expect(await verdict(policy({ ...SIGNED, ...exact }), reference)).toEndWith(
      `no signature found in ${directory}`,
    );
    lookasideFor("x");
    copyFileSync(
      scratch.join(`lookaside/x@sha256=${digestHex(IMAGE.digest)}/signature-1`),
      `${directory}/signature-1`,
    );
    expect(await verdict(policy({ ...SIGNED, ...exact }), reference)).toBe("accepted");
    expect(await verdict(policy(SIGNED), reference)).toContain("compares names, and the image has none");
  });

  test("over HTTP: by redirects, until one is missing", async () => {
    const name = `simple@sha256=${digestHex(IMAGE.digest)}/signature-1`;
    const asked: string[] = [];
    using server = Bun.serve({
      port: 0,
      fetch(request) {
        const { pathname } = new URL(request.url);
        asked.push(decodeURIComponent(pathname));
        if (pathname.includes("/denied@")) return new Response("", { status: 403 });
        if (pathname.endsWith("/signature-1")) return Response.redirect("/moved");
        if (pathname !== "/moved") return new Response("", { status: 404 });
        return new Response(fixture(`lookaside/team/${name}`));
      },
    });
    useLookaside(`http://127.0.0.1:${server.port}/sigs`);
    expect(await verdict(policy(SIGNED), `docker://${HOST}/team/simple:v1`)).toBe("accepted");
    expect(asked).toEqual([`/sigs/team/${name}`, "/moved", `/sigs/team/${name.replace("-1", "-2")}`]);
    expect(await verdict(policy(SIGNED), `docker://${HOST}/team/denied:v1`)).toContain("403");
  });
});

describe("signatures by cosign", () => {
  test.each(["tagged", "referrer", "bundle"] as const)("%s", async (kind) => {
    const source = fixtureSource(kind);
    const reference = `docker://${HOST}/team/${kind}`;
    const accepted = policy({ ...SIGSTORE, ...repository });
    expect(await verdict(accepted, `${reference}:v1`, source)).toBe("accepted");
    expect(await verdict(accepted, `${reference}:v1`, source, CHOSEN)).toBe("accepted");
    expect(await verdict(accepted, `${reference}:v1`, source, OTHER)).toContain("no signature found");
    expect(await verdict(accepted, `${reference}:v1`)).toContain("no signature found under the tag sha256-");
    expect(await verdict(policy(SIGSTORE), `${reference}@${IMAGE.digest}`, source)).toBe("accepted");
    const byName = await verdict(policy(SIGSTORE), `${reference}:v1`, source);
    expect(byName).toContain(kind === "bundle" ? "names no image" : `not for ${HOST}/team/${kind}:v1`);
  });

  test("in a dir:", async () => {
    const directory = scratch.join("cosigned");
    mkdirSync(directory);
    copyFileSync(`${FIXTURES}/signature-in-dir`, `${directory}/signature-1`);
    const exact = { signedIdentity: { type: "exactRepository", dockerRepository: `${HOST}/team/tagged` } };
    expect(await verdict(policy({ ...SIGSTORE, ...exact }), `dir:${directory}`)).toBe("accepted");
  });
});

describe("damage", () => {
  const content = fixture(`blobs/${digestHex(parseManifest(manifestOf("bundle")).layers[0]!.digest)}`);
  const payload = fixture(`blobs/${digestHex(parseManifest(fixture("tagged.json")).layers[0]!.digest)}`);
  const signature = parseManifest(fixture("tagged.json")).layers[0]!.annotations.get(SIGNATURE_ANNOTATION)!;
  const trusted = { keyPath: `${FIXTURES}/cosign.pub` };
  const flip = (bytes: Uint8Array) =>
    fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, change]) => {
      const copy = bytes.slice();
      copy[at]! ^= change;
      return copy;
    });
  const named = { signedIdentity: { type: "exactRepository", dockerRepository: `${HOST}/team/tagged` } };

  test("any changed byte of a payload", async () => {
    expect(await ask({ ...trusted, ...named }, cosigned(payload, signature))).toBe("accepted");
    await fc.assert(
      fc.asyncProperty(flip(payload), async (bytes) => {
        expect(await ask({ ...trusted, ...named }, cosigned(bytes, signature))).not.toBe("accepted");
      }),
    );
  });

  test("any changed byte of a bundle is refused in words, or was not signed", async () => {
    const signedPart = (bytes: Uint8Array) => {
      const { payload, signatures } = JSON.parse(Buffer.from(bytes).toString()).dsseEnvelope;
      return [payload, signatures[0].sig].map((text) => Buffer.from(text, "base64").toString("hex"));
    };
    await fc.assert(
      fc.asyncProperty(flip(content), async (bytes) => {
        const found = await ask(trusted, bundled(bytes));
        if (found === "accepted") expect(signedPart(bytes)).toEqual(signedPart(content));
        else expect(found).toMatch(/^[A-Z][a-z]+: signature policy /);
      }),
      { numRuns: 300 },
    );
  });
});

/** The manifest that the fixtures' list of referrers names. */
function manifestOf(kind: "bundle" | "referrer"): Uint8Array {
  const [descriptor] = parseIndex(fixture(`${kind}-list.json`)).manifests;
  return fixture(`blobs/${digestHex(descriptor!.digest)}`);
}

type Pair = { publicKey: KeyObject; privateKey: KeyObject };
const pem = ({ publicKey }: Pair) => publicKey.export({ type: "spki", format: "pem" }) as string;
const base64 = (data: string | Uint8Array) => Buffer.from(data).toString("base64");
const SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json";
const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const signWith = ({ privateKey }: Pair, data: Uint8Array, hash = "sha256") =>
  sign(privateKey.asymmetricKeyType === "ed25519" ? null : hash, data, privateKey);

const payloadOf = (changes: object = {}) =>
  Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": `${HOST}/a` },
        image: { "docker-manifest-digest": IMAGE.digest },
        type: "cosign container image signature",
        ...changes,
      },
      optional: null,
    }),
  );

function cosigned(payload: Uint8Array, signature: string, more: Record<string, string> = {}): FakeSource {
  const source = new FakeSource();
  const layer = { mediaType: SIMPLE, digest: source.add(payload), size: payload.length };
  const annotations = { "dev.cosignproject.cosign/signature": signature, ...more };
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: IMAGE.digest, size: 2 };
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [{ ...layer, annotations }] };
  source.tag(IMAGE.digest, Buffer.from(JSON.stringify(manifest)));
  return source;
}

function bundled(bundle: object): FakeSource {
  const source = new FakeSource();
  const content = bundle instanceof Uint8Array ? bundle : Buffer.from(JSON.stringify(bundle));
  const layer = { mediaType: BUNDLE, digest: source.add(content), size: content.length };
  const config = { mediaType: "application/vnd.oci.empty.v1+json", digest: IMAGE.digest, size: 2 };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config,
      layers: [layer],
      artifactType: BUNDLE,
    }),
  );
  const referrer: Descriptor = {
    mediaType: OCI_MANIFEST,
    digest: source.add(manifest),
    size: manifest.length,
    annotations: new Map(),
    artifactType: BUNDLE,
  };
  source.lists.set(IMAGE.digest, [referrer]);
  return source;
}

const ask = (requirement: object, source: FakeSource) =>
  verdict(policy({ type: "sigstoreSigned", ...repository, ...requirement }), `docker://${HOST}/a:v1`, source);

describe("keys and payloads of sigstore", () => {
  const keys: Record<string, Pair> = {
    "P-256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
    "P-384": generateKeyPairSync("ec", { namedCurve: "P-384" }),
    "P-521": generateKeyPairSync("ec", { namedCurve: "P-521" }),
    rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }),
    ed25519: generateKeyPairSync("ed25519"),
  };
  const key = keys["P-256"]!;
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const trusted = { keyData: base64(pem(key)) };

  test.each(Object.entries(keys))("%s", async (_, pair) => {
    const payload = payloadOf();
    const source = cosigned(payload, base64(signWith(pair, payload)));
    expect(await ask({ keyDatas: [base64(pem(other)), base64(pem(pair))] }, source)).toBe("accepted");
    expect(await ask({ keyData: base64(pem(other)) }, source)).toEndWith(
      "not signed by a key of the policy, or damaged",
    );
  });

  test.each<[string, Uint8Array, string]>([
    ["another type", payloadOf({ type: "atomic container signature" }), "the type is"],
    ["something critical that is not known", payloadOf({ expires: 1 }), "not a known field"],
    ["another digest", payloadOf({ image: { "docker-manifest-digest": OTHER.digest } }), "not for sha256:"],
    [
      "another repository",
      payloadOf({ identity: { "docker-reference": `${HOST}/b` } }),
      `not for ${HOST}/a:v1`,
    ],
    ["no digest", payloadOf({ image: {} }), "docker-manifest-digest"],
    ["no JSON", Buffer.from("{"), "is not JSON"],
  ])("a payload with %s", async (_, payload, expected) => {
    expect(await ask(trusted, cosigned(payload, base64(signWith(key, payload))))).toContain(expected);
  });

  test.each<[string, string]>([
    ["nothing", ""],
    ["no base64", "!!!"],
    ["short", "AAAA"],
  ])("a signature that is %s", async (_, signature) => {
    expect(await ask(trusted, cosigned(payloadOf(), signature))).toContain("not signed by a key");
  });

  test("a good signature behind bad ones", async () => {
    const payload = payloadOf();
    const source = cosigned(payload, base64(signWith(key, payload)));
    source.lists.set(IMAGE.digest, [
      {
        mediaType: OCI_MANIFEST,
        digest: OTHER.digest,
        size: 9,
        annotations: new Map(),
        artifactType: BUNDLE,
      },
    ]);
    expect(await ask(trusted, source)).toBe("accepted");
    source.tags.clear();
    expect(await ask(trusted, source)).toContain(
      `the referrer ${OTHER.digest}: there is no Signature manifest`,
    );
  });

  test.each<[string, string, string]>([
    [
      "a private key",
      key.privateKey.export({ type: "pkcs8", format: "pem" }) as string,
      "is not a public key in PEM",
    ],
    ["a weak key", pem(generateKeyPairSync("rsa", { modulusLength: 1024 })), "1024 bits"],
    ["a curve that is not known", pem(generateKeyPairSync("x25519") as unknown as Pair), "not supported"],
    ["junk", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is damaged"],
  ])("%s in the policy", async (_, text, expected) => {
    expect(await ask({ keyData: base64(text) }, fixtureSource("none"))).toContain(expected);
  });

  test("a key file that is missing", async () => {
    expect(await ask({ keyPath: "/nonexistent.pub" }, fixtureSource("none"))).toContain(
      "key file /nonexistent.pub",
    );
  });

  describe("transparency log", () => {
    const log = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const demanded = { ...trusted, rekorPublicKeyData: base64(pem(log)) };
    const payload = payloadOf();
    const signature = signWith(key, payload);
    const sha256 = (data: Uint8Array) => ({ algorithm: "sha256", value: digestHex(computeDigest(data)) });
    const hashed = (changes: object = {}) => ({
      apiVersion: "0.0.1",
      kind: "hashedrekord",
      spec: {
        data: { hash: sha256(payload) },
        signature: { content: base64(signature), publicKey: { content: base64(pem(key)) } },
        ...changes,
      },
    });
    const entryOf = (body: object, signer = log) => {
      const entry = {
        body: base64(JSON.stringify(body)),
        integratedTime: 1717243200,
        logID: "c0d2",
        logIndex: 7,
      };
      return { entry, promise: signWith(signer, Buffer.from(JSON.stringify(entry))) };
    };
    const annotated = (body: object, signer = log) => {
      const { entry, promise } = entryOf(body, signer);
      const bundle = JSON.stringify({ SignedEntryTimestamp: base64(promise), Payload: entry });
      return cosigned(payload, base64(signature), { "dev.sigstore.cosign/bundle": bundle });
    };

    test.each<[string, () => FakeSource, string]>([
      ["an entry of the signature", () => annotated(hashed()), "accepted"],
      ["no entry", () => cosigned(payload, base64(signature)), "it has no entry of a transparency log"],
      [
        "an entry that another log has signed",
        () => annotated(hashed(), other),
        "not signed by a key of the policy",
      ],
      [
        "an entry of other data",
        () => annotated(hashed({ data: { hash: sha256(signature) } })),
        "about another",
      ],
      [
        "an entry by another key",
        () =>
          annotated(
            hashed({ signature: { content: base64(signature), publicKey: { content: base64(pem(other)) } } }),
          ),
        "about another",
      ],
      [
        "an entry of another signature",
        () =>
          annotated(
            hashed({
              signature: {
                content: base64(signWith(key, payload)),
                publicKey: { content: base64(pem(key)) },
              },
            }),
          ),
        "about another",
      ],
      ["an entry of another kind", () => annotated({ ...hashed(), kind: "rpm" }), "is not supported"],
      ["an entry of another version", () => annotated({ ...hashed(), apiVersion: "9" }), "is not supported"],
    ])("%s", async (_, source, expected) => {
      expect(await ask(demanded, source())).toContain(expected);
    });

    describe("in a bundle", () => {
      const statement = Buffer.from(
        JSON.stringify({
          _type: "https://in-toto.io/Statement/v1",
          subject: [{ digest: { sha256: digestHex(IMAGE.digest) } }],
          predicateType: "https://sigstore.dev/cosign/sign/v1",
          predicate: {},
        }),
      );
      const type = "application/vnd.in-toto+json";
      const enveloped = (data: Uint8Array) =>
        Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${data.length} `), data]);
      const sig = signWith(key, enveloped(statement));
      const dsse = (verifier: Pair = key) => ({
        apiVersion: "0.0.1",
        kind: "dsse",
        spec: {
          payloadHash: sha256(statement),
          signatures: [{ signature: base64(sig), verifier: base64(pem(verifier)) }],
        },
      });
      const bundleOf = (entries: object[], data: Uint8Array = statement, signed = sig) => ({
        mediaType: BUNDLE,
        verificationMaterial: { publicKey: { hint: "" }, tlogEntries: entries },
        dsseEnvelope: { payload: base64(data), payloadType: type, signatures: [{ sig: base64(signed) }] },
      });
      const logged = (body: object, signer = log) => {
        const { entry, promise } = entryOf(body, signer);
        return {
          logIndex: "7",
          logId: { keyId: base64(Buffer.from("c0d2", "hex")) },
          kindVersion: { kind: "dsse", version: "0.0.1" },
          integratedTime: "1717243200",
          inclusionPromise: { signedEntryTimestamp: base64(promise) },
          canonicalizedBody: entry.body,
        };
      };

      test.each<[string, object[], string]>([
        ["an entry of the signature", [logged(dsse())], "accepted"],
        ["the second entry", [logged(dsse(), other), logged(dsse())], "accepted"],
        ["no entry", [], "it has no entry"],
        ["an entry by another key", [logged(dsse(other))], "about another"],
        [
          "an entry that another log has signed",
          [logged(dsse(), other)],
          "not signed by a key of the policy",
        ],
        ["an entry without promise", [{ ...logged(dsse()), inclusionPromise: undefined }], "has not signed"],
      ])("%s", async (_, entries, expected) => {
        expect(await ask(demanded, bundled(bundleOf(entries)))).toContain(expected);
      });

      const changed = (changes: object) => {
        const data = Buffer.from(JSON.stringify({ ...JSON.parse(statement.toString()), ...changes }));
        return bundleOf([], data, signWith(key, enveloped(data)));
      };
      test.each<[string, object, string]>([
        ["of the image", bundleOf([]), "accepted"],
        [
          "of something else",
          changed({ subject: [{ digest: { sha256: "0".repeat(64) } }] }),
          "not for sha256:",
        ],
        ["of two things", changed({ subject: [{}, {}] }), "exactly one subject"],
        [
          "that attests something",
          changed({ predicateType: "https://slsa.dev/provenance/v1" }),
          "no signature of an image",
        ],
        [
          "that was changed",
          bundleOf([], Buffer.concat([statement, Buffer.from(" ")])),
          "not signed by a key",
        ],
        [
          "of another version",
          { ...bundleOf([]), mediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1" },
          "are not supported",
        ],
        ["without envelope", { mediaType: BUNDLE, messageSignature: {} }, "no DSSE envelope"],
      ])("a bundle %s", async (_, bundle, expected) => {
        expect(await ask(trusted, bundled(bundle))).toContain(expected);
      });
    });
  });
});
