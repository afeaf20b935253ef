import { CfsError } from "../../errors.ts";
import { printable, RequestError } from "../../http/errors.ts";
import type { Reply } from "../../http/reply.ts";
import {
  computeDigest,
  digestAlgorithm,
  isDigest,
  isSupportedAlgorithm,
  type OciDigest,
  verifyDigest,
} from "../digest.ts";
import { MAX_INDEX_SIZE } from "../index.ts";
import { type JsonObject, parseJsonObject } from "../json.ts";
import { MAX_MANIFEST_SIZE } from "../manifest.ts";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  isIndexType,
  isManifestType,
  OCI_INDEX,
  OCI_MANIFEST,
} from "../media-types.ts";
import type { PublishedDocument } from "../source.ts";
import type { Session } from "./session.ts";

/** What we can read, the preferred ones first; registries convert by it. */
const ACCEPT = [OCI_MANIFEST, DOCKER_MANIFEST, DOCKER_LIST, OCI_INDEX].join(", ");

/** Docker's schema 1, whose manifests are signed and have no digest of their layers' content. */
const SCHEMA_1 = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/;

/**
 * Fetches a manifest or index, and verifies it.
 * @param reference a tag or a digest.
 * @throws CfsError NotFound, Permission, Network, Corrupt, Invalid, Unsupported
 */
export async function fetchManifest(
  session: Session,
  reference: string,
  signal: AbortSignal,
): Promise<PublishedDocument> {
  return await session.attempts(signal).run(async () => {
    const reply = await session.fetch({
      method: "GET",
      target: `manifests/${reference}`,
      what: `manifest ${reference}`,
      headers: { Accept: ACCEPT },
      accept: [200],
      signal,
    });
    const declared = declaredType(reply);
    const what = `manifest ${reference} of ${session.label}`;
    const bytes = await reply.bytes(
      declared === undefined || isIndexType(declared) ? MAX_INDEX_SIZE : MAX_MANIFEST_SIZE,
      what,
    );
    const digest = isDigest(reference) ? reference : announcedDigest(reply, bytes);
    verifyDigest(bytes, digest, "Manifest");
    return { bytes, digest, mediaType: documentType(bytes, declared, what) };
  });
}

/** The digest that the registry knows a tagged manifest by. */
function announcedDigest(reply: Reply, bytes: Uint8Array): OciDigest {
  const header = reply.headers.get("docker-content-digest");
  return header !== null && isDigest(header) && isSupportedAlgorithm(digestAlgorithm(header))
    ? header
    : computeDigest(bytes);
}

/** Types that say nothing of what a document is. */
const VAGUE_TYPES = ["application/json", "application/octet-stream", "text/plain"];

function declaredType({ mediaType }: Reply): string | undefined {
  return mediaType === undefined || VAGUE_TYPES.includes(mediaType) ? undefined : mediaType;
}

/**
 * Which kind of document it is. Head and body must agree, and a body must not pass for two kinds: else two programs
 * could see different images under one digest.
 */
function documentType(bytes: Uint8Array, declared: string | undefined, what: string): string {
  const object = parseJsonObject(bytes, what);
  const inBody =
    typeof object.mediaType === "string" && object.mediaType !== "" ? object.mediaType : undefined;
  const mediaType = inBody ?? declared ?? guessType(object);
  if (object.schemaVersion === 1 || SCHEMA_1.test(mediaType) || SCHEMA_1.test(declared ?? "")) {
    throw new CfsError("Unsupported", `${what} is of docker's schema 1, which is not supported`, {
      hint: "push the image again with a current tool",
    });
  }
  if (declared !== undefined && declared !== mediaType) {
    throw new RequestError(
      "Invalid",
      `${what}: it is served as ${printable(declared)}, but says that it is ${printable(mediaType)}`,
    );
  }
  if (!isManifestType(mediaType) && !isIndexType(mediaType))
    throw new CfsError("Unsupported", `${what}: media type ${printable(mediaType)} is not supported`);
  const both = isManifestType(mediaType) ? "manifests" in object : "layers" in object || "config" in object;
  if (both) throw new RequestError("Invalid", `${what} could be read as a manifest and as an index`);
  return mediaType;
}

function guessType(object: JsonObject): string {
  return "manifests" in object ? OCI_INDEX : OCI_MANIFEST;
}
