import { readFileSync } from "node:fs";
import { join } from "node:path";
import { decompress } from "fzstd";
import type { Descriptor } from "../../../src/oci/descriptor.ts";
import { computeDigest, type OciDigest } from "../../../src/oci/digest.ts";
import { PROJECT } from "../../support/project.ts";

const FIXTURES = join(PROJECT, "fixtures/chunked");
const ANNOTATIONS = JSON.parse(readFileSync(join(FIXTURES, "annotations.json"), "utf8")) as Record<
  string,
  Record<string, string>
>;

export type FixtureName = "old.zst" | "new.zst" | "new-early.zst";

export interface ChunkedFixture {
  readonly blob: Uint8Array<ArrayBuffer>;
  readonly descriptor: Descriptor;
  /** By another decoder than the one that is tested. */
  readonly tar: Uint8Array;
  readonly diffId: OciDigest;
}

export function fixture(name: FixtureName): ChunkedFixture {
  const blob = new Uint8Array(readFileSync(join(FIXTURES, name)));
  const tar = decompress(blob);
  return {
    blob,
    tar,
    diffId: computeDigest(tar),
    descriptor: {
      mediaType: "application/vnd.oci.image.layer.v1.tar+zstd",
      digest: computeDigest(blob),
      size: blob.length,
      annotations: new Map(Object.entries(ANNOTATIONS[name]!)),
    },
  };
}
