import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { generateKeyPairSync, sign } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../../../src/errors.ts";
import { computeDigest, digestHex, type OciDigest } from "../../../src/oci/digest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../../src/oci/media-types.ts";
import { openSource } from "../../../src/oci/open-source.ts";
import { pullImage } from "../../../src/oci/pull/pull.ts";
import { pullAllPlatforms } from "../../../src/oci/pull-index.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { Scratch } from "../../repository/support.ts";
import { FIXTURES, newRepository, unpack } from "../support.ts";

const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const NAME = "registry.example/team/app";
const SIGSTORE = {
  type: "sigstoreSigned",
  keyData: Buffer.from(publicKey.export({ type: "spki", format: "pem" })).toString("base64"),
  signedIdentity: { type: "exactRepository", dockerRepository: NAME },
};

let scratch: Scratch;
let layout: string;
let serial = 0;
beforeEach(() => {
  scratch = new Scratch();
  layout = scratch.join("layout");
  mkdirSync(layout);
  unpack(join(FIXTURES, "images/basic.tar"), layout);
});
afterEach(() => scratch[Symbol.dispose]());

interface Entry {
  readonly mediaType: string;
  readonly digest: OciDigest;
  readonly size: number;
  readonly annotations?: Record<string, string>;
  readonly platform?: object;
}
const indexFile = () => join(layout, "index.json");
const entries = (): Entry[] => JSON.parse(readFileSync(indexFile(), "utf8")).manifests;
const image = () =>
  entries().find(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === "t")!;

function addBlob(content: string | Uint8Array, mediaType: string): Entry {
  const bytes = Buffer.from(content);
  const digest = computeDigest(bytes);
  writeFileSync(join(layout, "blobs/sha256", digestHex(digest)), bytes);
  return { mediaType, digest, size: bytes.length };
}

function addTagged(entry: Entry, tag: string): void {
  const manifests = [...entries(), { ...entry, annotations: { "org.opencontainers.image.ref.name": tag } }];
  writeFileSync(indexFile(), JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
}

/** Puts a signature into the layout, as cosign does it in a registry. */
function addSignature(of: OciDigest, name = NAME): void {
  const payload = JSON.stringify({
    critical: {
      identity: { "docker-reference": name },
      image: { "docker-manifest-digest": of },
      type: "cosign container image signature",
    },
    optional: null,
  });
  const annotations = {
    "dev.cosignproject.cosign/signature": sign("sha256", Buffer.from(payload), privateKey).toString("base64"),
  };
  const layer = { ...addBlob(payload, "application/vnd.dev.cosign.simplesigning.v1+json"), annotations };
  const config = addBlob("{}", "application/vnd.oci.image.config.v1+json");
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] };
  addTagged(addBlob(JSON.stringify(manifest), OCI_MANIFEST), `${of.replace(":", "-")}.sig`);
}

/** What happened, and what is in the repository then. */
async function pull(tag: string, all = false): Promise<{ outcome: string; objects: number; tags: string[] }> {
  const policyFile = scratch.join("policy.json");
  writeFileSync(policyFile, JSON.stringify({ default: [SIGSTORE] }));
  const path = scratch.join(`repository-${serial++}`);
  using repository = newRepository(path, SHA256);
  let outcome = "pulled";
  try {
    const reference = parseReference(`oci:${layout}:${tag}`);
    using source = openSource(reference, repository.dir.fd, { policyFile, anyPlatform: all });
    const options = { tag: "app", jobs: 1 };
    if (all) await pullAllPlatforms(repository, source, options);
    else await pullImage(repository, source, options);
  } catch (error) {
    outcome = describeError(error);
  }
  const list = (name: string) => {
    try {
      return readdirSync(join(path, name));
    } catch {
      return [];
    }
  };
  return { outcome, objects: list("objects").length, tags: list("streams/refs/oci") };
}

describe("pulls under a signature policy", () => {
  test("without a signature nothing is stored", async () => {
    const { outcome, objects, tags } = await pull("t");
    expect(outcome).toStartWith(
      `signature policy ${scratch.join("policy.json")}: sigstoreSigned for oci:${layout}:t (default): no signature found under the tag sha256-`,
    );
    expect({ objects, tags }).toEqual({ objects: 0, tags: [] });
  });

  test("with one the image is pulled", async () => {
    addSignature(image().digest);
    const { outcome, tags } = await pull("t");
    expect({ outcome, tags }).toEqual({ outcome: "pulled", tags: ["app"] });
  });

  test("one for another name does not do", async () => {
    addSignature(image().digest, "registry.example/team/other");
    const { outcome, objects } = await pull("t");
    expect(outcome).toEndWith(`the signature is for registry.example/team/other, not for ${NAME}`);
    expect(objects).toBe(0);
  });

  test("of an index, and of its images", async () => {
    const { annotations: _, ...entry } = image();
    const index = addBlob(
      JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] }),
      OCI_INDEX,
    );
    addTagged(index, "many");
    expect((await pull("many")).objects).toBe(0);
    addSignature(entry.digest);
    expect((await pull("many")).outcome).toBe("pulled");
    expect((await pull("many", true)).outcome).toContain(`among the referrers of ${index.digest}`);
    addSignature(index.digest);
    expect((await pull("many", true)).outcome).toBe("pulled");
  });
});
