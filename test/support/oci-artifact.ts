import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type OciDigest, parseDigest } from "../../src/oci/digest.ts";
import { blobPath, digestOf } from "./oci-layout.ts";

export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";

export interface Artifact {
  readonly tag: string;
  readonly type?: string;
  readonly subject?: string;
  readonly blobs?: readonly Uint8Array[];
  readonly config?: { readonly mediaType: string; readonly bytes: Uint8Array };
  readonly annotations?: Record<string, string>;
}

/** Adds an artifact to a layout; returns its digest. */
export function addArtifact(
  layout: string,
  { tag, type, subject, blobs = [], config, annotations }: Artifact,
): OciDigest {
  const put = (mediaType: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    writeFileSync(blobPath(layout, digest), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const manifest = put(
    MANIFEST_TYPE,
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST_TYPE,
        ...(type !== undefined && { artifactType: type }),
        config: put(
          config?.mediaType ?? "application/vnd.oci.empty.v1+json",
          config?.bytes ?? Buffer.from("{}"),
        ),
        layers: blobs.map((blob) => put("application/x-anything", blob)),
        ...(subject !== undefined && { subject: { mediaType: MANIFEST_TYPE, digest: subject, size: 1 } }),
        ...(annotations !== undefined && { annotations }),
      }),
    ),
  );
  const path = join(layout, "index.json");
  const index = JSON.parse(readFileSync(path, "utf8"));
  index.manifests.push({ ...manifest, annotations: { "org.opencontainers.image.ref.name": tag } });
  writeFileSync(path, JSON.stringify(index));
  return parseDigest(manifest.digest);
}
