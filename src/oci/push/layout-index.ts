import { CfsError } from "../../errors.ts";
import { REF_NAME } from "../index.ts";
import { asObject, type JsonObject, parseJsonObject, requiredArray } from "../json.ts";
import { OCI_INDEX } from "../media-types.ts";
import type { Publication } from "./target.ts";

/** OCI image specification, image-layout.md. */
export const LAYOUT_FILE_NAME = "oci-layout";
export const LAYOUT_FILE: Uint8Array = Buffer.from('{"imageLayoutVersion":"1.0.0"}');
const MAX_MANIFESTS = 50_000;

/** The index.json of a layout without images. */
export function emptyLayoutIndex(): Uint8Array {
  return encode({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
}

/**
 * The index.json with a further manifest. Who had its tag loses it, and an entry without a tag goes when the manifest
 * is the same; all others stay as they are, whatever they hold.
 * @throws CfsError Invalid
 */
export function withTag(index: Uint8Array, document: Publication, tag: string | undefined): Uint8Array {
  const object = parseJsonObject(index, "index.json");
  if (object.schemaVersion !== 2) {
    throw new CfsError("Unsupported", `index.json has schema version ${String(object.schemaVersion)}, not 2`);
  }
  const others = requiredArray(object, "manifests", "index.json", MAX_MANIFESTS).filter((manifest) => {
    const entry = asObject(manifest, "index.json: manifest");
    const name = tagOf(entry);
    return name !== tag || (tag === undefined && entry.digest !== document.digest);
  });
  const entry = {
    mediaType: document.mediaType,
    digest: document.digest,
    size: document.bytes.length,
    ...(tag !== undefined && { annotations: { [REF_NAME]: tag } }),
  };
  return encode({ ...object, manifests: [...others, entry] });
}

function tagOf({ annotations }: JsonObject): string | undefined {
  if (annotations === undefined || annotations === null) return undefined;
  const name = asObject(annotations, "index.json: annotations")[REF_NAME];
  return typeof name === "string" ? name : undefined;
}

function encode(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
