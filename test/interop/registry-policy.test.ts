import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cfsctlOk, run, runCfsctl } from "../support/cfsctl.ts";
import { writeContainersHome } from "../support/containers-home.ts";
import { digestOf, type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { startRegistry, type TestRegistry } from "../support/registry.ts";
import { hasTool, testNeeding } from "../support/skip.ts";
import { directory, file, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDir } from "../support/temp.ts";

/** Signatures in a registry or beside it, and a policy that demands them. */

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE = "dev.cosignproject.cosign/signature";

let scratch: TempDir;
let layout: string;
let image: WrittenImage;

const newKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
const right = newKey();
const wrong = newKey();

beforeAll(() => {
  scratch = tempDir();
  layout = scratch.join("layout");
  [image] = writeLayout(layout, [
    { tag: "1", layers: [{ tar: writeTar([directory("usr/"), file("usr/signed", "by somebody")]) }] },
  ]) as [WrittenImage];
});
afterAll(() => scratch[Symbol.dispose]());

/** Stores a signature as cosign does: a manifest with the tag `sha256-HEX.sig`, or one that refers to the image. */
function addSignature(
  registry: TestRegistry,
  { key, digest = image.manifest, name = `${registry.host}/team/app`, as = "tag" }: Signature,
): void {
  const { content } = registry;
  const payload = Buffer.from(
    JSON.stringify({
      critical: {
        identity: { "docker-reference": name },
        image: { "docker-manifest-digest": digest },
        type: "cosign container image signature",
      },
      optional: null,
    }),
  );
  const config = Buffer.from(
    '{"architecture":"","os":"","config":{},"rootfs":{"type":"layers","diff_ids":[]}}',
  );
  for (const blob of [payload, config]) content.addBlob("team/app", blob);
  const signature = sign("sha256", payload, key).toString("base64");
  const { bytes } = content.manifest("team/app", image.manifest)!;
  content.addManifest(
    "team/app",
    {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: {
        mediaType: "application/vnd.oci.image.config.v1+json",
        digest: digestOf(config),
        size: config.length,
      },
      layers: [
        {
          mediaType: PAYLOAD,
          digest: digestOf(payload),
          size: payload.length,
          annotations: { [SIGNATURE]: signature },
        },
      ],
      ...(as === "referrer" && {
        artifactType: "application/vnd.dev.cosign.artifact.sig.v1+json",
        subject: { mediaType: MANIFEST, digest: image.manifest, size: bytes.length },
      }),
    },
    MANIFEST,
    as === "tag" ? `${image.manifest.replace(":", "-")}.sig` : undefined,
  );
}

interface Signature {
  readonly key: KeyObject;
  /** What it says that it signs; the image itself unless given. */
  readonly digest?: string;
  readonly name?: string;
  readonly as?: "tag" | "referrer";
}

interface Case {
  readonly name: string;
  readonly sign?: (registry: TestRegistry) => void;
  /** Requirements for the repository; a signature by the right key unless given. */
  readonly requirements?: readonly object[];
  readonly accepted: boolean;
  readonly message?: RegExp;
}

const cases: Case[] = [
  { name: "no signature", accepted: false, message: /signature/ },
  {
    name: "a signature",
    sign: (registry) => addSignature(registry, { key: right.privateKey }),
    accepted: true,
  },
  {
    name: "a signature that refers to the image",
    sign: (registry) => addSignature(registry, { key: right.privateKey, as: "referrer" }),
    accepted: true,
  },
  {
    name: "a signature by another key",
    sign: (registry) => addSignature(registry, { key: wrong.privateKey }),
    accepted: false,
    message: /signature/,
  },
  {
    name: "a signature of another image",
    sign: (registry) => addSignature(registry, { key: right.privateKey, digest: `sha256:${"1".repeat(64)}` }),
    accepted: false,
    message: /signature/,
  },
  {
    name: "a signature for another repository",
    sign: (registry) =>
      addSignature(registry, { key: right.privateKey, name: `${registry.host}/team/other` }),
    accepted: false,
    message: /signature/,
  },
  { name: "anything goes", requirements: [{ type: "insecureAcceptAnything" }], accepted: true },
  { name: "nothing goes", requirements: [{ type: "reject" }], accepted: false, message: /policy/ },
];

describe("what the policy demands of an image in a registry", () => {
  test.concurrent.each(cases)(
    "$name",
    async ({ sign: addTo, requirements, accepted, message }) => {
      using registry = await startRegistry();
      registry.content.addLayout("team/app", layout);
      addTo?.(registry);
      const repository = scratch.join(`repository-${registry.port}`);
      cfsctlOk(["--repo", repository, "init", "--insecure"]);

      const home = `${repository}-home`;
      const env = writeContainersHome(home, {
        registries: `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`,
        policy: {
          default: [{ type: "reject" }],
          transports: {
            docker: {
              [`${registry.host}/team`]: requirements ?? [
                {
                  type: "sigstoreSigned",
                  keyPath: join(home, "key.pub"),
                  signedIdentity: { type: "matchRepository" },
                },
              ],
            },
          },
        },
      });
      writeFileSync(join(home, "key.pub"), right.publicKey.export({ type: "spki", format: "pem" }));
      const registriesD = join(home, ".config/containers/registries.d");
      mkdirSync(registriesD);
      writeFileSync(join(registriesD, "here.yaml"), "default-docker:\n  use-sigstore-attachments: true\n");

      const name = `docker://${registry.host}/team/app:1`;
      const { code, stderr } = await runCfsctl(["--repo", repository, "oci", "pull", name, "app"], { env });
      expect({ code, stderr: accepted ? stderr : "" }).toEqual({
        code: accepted ? 0 : 1,
        stderr: accepted ? expect.any(String) : "",
      });
      if (message !== undefined) expect(stderr).toMatch(message);
      const { images } = JSON.parse(cfsctlOk(["--repo", repository, "oci", "images", "--json"]));
      expect(images.length).toBe(accepted ? 1 : 0);
      // no layer is fetched before the decision
      if (!accepted) expect(registry.traffic(image.layers[0]!.digest).bytes).toBe(0);

      // Debian's has no sigstore signatures
      if (requirements === undefined || !hasTool("skopeo")) return;
      const judged = await run(["skopeo", "copy", "-q", name, `dir:${repository}-skopeo`], { env });
      expect(judged.code === 0).toBe(accepted);
    },
    30_000,
  );

  testNeeding({ tool: "skopeo" }, { tool: "gpg" })(
    "what skopeo has signed with GnuPG",
    async () => {
      using registry = await startRegistry();
      const folder = scratch.join("gnupg-test");
      const keys = join(folder, "keys");
      const lookaside = join(folder, "lookaside");
      mkdirSync(keys, { recursive: true, mode: 0o700 });
      const key = join(folder, "key.gpg");
      const signedBy = [{ type: "signedBy", keyType: "GPGKeys", keyPath: key }];
      const env = {
        ...writeContainersHome(folder, {
          registries: `[[registry]]\nlocation = "${registry.host}"\ninsecure = true\n`,
          policy: {
            default: [{ type: "reject" }],
            transports: {
              oci: { "": [{ type: "insecureAcceptAnything" }] },
              docker: { [registry.host]: signedBy },
            },
          },
        }),
        GNUPGHOME: keys,
      };
      const registriesD = join(folder, ".config/containers/registries.d");
      mkdirSync(registriesD);
      writeFileSync(
        join(registriesD, "here.yaml"),
        `default-docker:\n  sigstore: file://${lookaside}\n  sigstore-staging: file://${lookaside}\n`,
      );
      const ok = async (...command: string[]) =>
        expect(await run(command, { env })).toMatchObject({ code: 0 });
      const gpg = ["gpg", "--batch", "--quiet", "--passphrase", ""];
      await ok(...gpg, "--quick-generate-key", "signer@test.example", "rsa2048", "sign", "never");
      await ok(...gpg, "--output", key, "--export", "signer@test.example");
      try {
        const signed = `docker://${registry.host}/team/signed:1`;
        const unsigned = `docker://${registry.host}/team/unsigned:1`;
        await ok(
          ...["skopeo", "copy", "-q", "--sign-by", "signer@test.example"],
          ...[`oci:${layout}:1`, signed],
        );
        await ok("skopeo", "copy", "-q", `oci:${layout}:1`, unsigned);
        const repository = join(folder, "repository");
        cfsctlOk(["--repo", repository, "init", "--insecure"]);
        const pull = (name: string) => runCfsctl(["--repo", repository, "oci", "pull", name, "app"], { env });
        const refused = await pull(unsigned);
        expect({ ...refused, stderr: "" }).toEqual({ code: 1, stdout: "", stderr: "" });
        expect(refused.stderr).toMatch(/signature/);
        expect(await pull(signed)).toMatchObject({ code: 0 });
      } finally {
        Bun.spawnSync(["gpgconf", "--kill", "all"], { env: { ...process.env, ...env } });
      }
    },
    60_000,
  );
});
