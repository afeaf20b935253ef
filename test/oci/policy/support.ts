import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CfsError, describeError, kindOf } from "../../../src/errors.ts";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import { computeDigest, digestHex, type OciDigest, verifyDigest } from "../../../src/oci/digest.ts";
import { parseIndex } from "../../../src/oci/index.ts";
import { OCI_MANIFEST } from "../../../src/oci/media-types.ts";
import { imagePolicy } from "../../../src/oci/policy/policy.ts";
import { parseReference } from "../../../src/oci/reference.ts";
import type { FoundManifest, ImageSource, PublishedDocument } from "../../../src/oci/source.ts";
import { PROJECT } from "../../support/project.ts";

export const FIXTURES = join(PROJECT, "fixtures/oci/signatures");
export const fixture = (name: string) => new Uint8Array(readFileSync(join(FIXTURES, name)));

const bytes = fixture("manifest.json");
/** The image that the fixtures' signatures are of. */
export const IMAGE: FoundManifest = { bytes, digest: computeDigest(bytes), mediaType: OCI_MANIFEST };

/** A source that has nothing but an image and what speaks of it. */
export class FakeSource implements ImageSource {
  readonly label = "fake";
  readonly tags = new Map<string, PublishedDocument>();
  readonly lists = new Map<OciDigest, readonly Descriptor[]>();
  readonly documents = new Map<OciDigest, Uint8Array>();

  get related(): this {
    return this;
  }

  get blobs(): never {
    throw new Error("no layer may be asked for");
  }

  async manifest(): Promise<FoundManifest> {
    return IMAGE;
  }

  async manifestByTag(tag: string): Promise<PublishedDocument | undefined> {
    return this.tags.get(tag);
  }

  async referrers(subject: OciDigest): Promise<readonly Descriptor[]> {
    return this.lists.get(subject) ?? [];
  }

  async readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    const file = join(FIXTURES, "blobs", digestHex(descriptor.digest));
    const document =
      this.documents.get(descriptor.digest) ??
      (existsSync(file) ? new Uint8Array(readFileSync(file)) : undefined);
    if (document === undefined) throw new CfsError("NotFound", `there is no ${what}`);
    if (document.length > max) throw new CfsError("Invalid", `the ${what} is too large`);
    verifyDigest(document, descriptor.digest, what);
    return document as Uint8Array<ArrayBuffer>;
  }

  [Symbol.dispose](): void {}

  add(document: Uint8Array): OciDigest {
    const digest = computeDigest(document);
    this.documents.set(digest, document);
    return digest;
  }

  tag(subject: OciDigest, manifest: Uint8Array): void {
    const tag = `${subject.replace(":", "-")}.sig`;
    this.tags.set(tag, { bytes: manifest.slice(), digest: computeDigest(manifest), mediaType: OCI_MANIFEST });
  }
}

/** As cosign left it in the registry. */
export function fixtureSource(kind: "tagged" | "referrer" | "bundle" | "none"): FakeSource {
  const source = new FakeSource();
  if (kind === "tagged") source.tag(IMAGE.digest, fixture("tagged.json"));
  else if (kind !== "none")
    source.lists.set(IMAGE.digest, parseIndex(fixture(`${kind}-list.json`)).manifests);
  return source;
}

/** "accepted", or the kind of the error and what it says. */
export async function verdict(
  policyFile: string | undefined,
  reference: string,
  source: ImageSource = fixtureSource("none"),
  found: FoundManifest = IMAGE,
): Promise<string> {
  try {
    const policy = imagePolicy(parseReference(reference), policyFile);
    policy.admit();
    await policy.verify(found, source);
    return "accepted";
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return `${kindOf(error)}: ${describeError(error)}`;
  }
}
