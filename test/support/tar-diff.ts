import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { blobPath, digestOf, type WrittenImage } from "./oci-layout.ts";

/** An operation of the tar-diff format; `frame` has a compressed payload that only the right file can decompress. */
export type DiffOp =
  | { readonly op: "data" | "add"; readonly bytes: Uint8Array }
  | { readonly op: "frame"; readonly payload: Uint8Array }
  | { readonly op: "open"; readonly name: string }
  | { readonly op: "copy" | "seek"; readonly size: number };

const CODES = { data: 0, open: 1, copy: 2, add: 3, seek: 4, frame: 5 } as const;

/** Unsigned LEB128. */
export function varint(value: number): Buffer {
  const digits: number[] = [];
  for (let rest = BigInt(value); ; ) {
    const digit = Number(rest & 0x7fn);
    rest >>= 7n;
    if (rest === 0n) return Buffer.from([...digits, digit]);
    digits.push(digit | 0x80);
  }
}

function encode(op: DiffOp): Buffer {
  const code = Buffer.from([CODES[op.op]]);
  if ("size" in op) return Buffer.concat([code, varint(op.size)]);
  const payload = "name" in op ? Buffer.from(op.name) : "bytes" in op ? op.bytes : op.payload;
  return Buffer.concat([code, varint(payload.length), payload]);
}

export function encodeOps(ops: readonly DiffOp[]): Buffer {
  return Buffer.concat(ops.map(encode));
}

/** A tar-diff whose operations are already encoded. */
export function packOps(version: 1 | 2, ops: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`tardf${version}\n\0`), zstdCompressSync(ops)]);
}

export function tarDiff(version: 1 | 2, ops: readonly DiffOp[]): Buffer {
  return packOps(version, encodeOps(ops));
}

/** A frame that only needs to say what is not in `prefix`; `prefix` must not look like a dictionary. */
export function prefixedFrame(content: Uint8Array, prefix: Uint8Array): Buffer {
  const dictionary = Buffer.concat([Buffer.from([0]), prefix]);
  return zstdCompressSync(content, { dictionary } as Parameters<typeof zstdCompressSync>[1]);
}

/** What makes a layer of the target. */
export interface DeltaLayer {
  readonly blob: Uint8Array;
  readonly mediaType?: string;
}

export interface DeltaSpec {
  /** The layout with both images; the delta is added to it. */
  readonly layout: string;
  readonly source: WrittenImage;
  readonly target: WrittenImage;
  /** By the number of the target's layer; the others are left out. */
  readonly layers: Readonly<Record<number, DeltaLayer>>;
  readonly tag?: string;
}

const PREFIX = "io.github.containers.delta.";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** Adds a delta artifact to a layout. @returns the digest of its manifest. */
export function addDelta({ layout, source, target, layers, tag }: DeltaSpec): string {
  const put = (mediaType: string, bytes: Uint8Array, annotations?: Record<string, string>) => {
    const digest = digestOf(bytes);
    writeFileSync(blobPath(layout, digest), bytes);
    return { mediaType, digest, size: bytes.length, ...(annotations && { annotations }) };
  };
  const embedded = (mediaType: string, digest: string, content: string) =>
    put(mediaType, readFileSync(blobPath(layout, digest)), { [`${PREFIX}content`]: content });
  const { digest: subject, size } = put(MANIFEST, readFileSync(blobPath(layout, target.manifest)));
  const manifest = {
    schemaVersion: 2,
    artifactType: "application/vnd.io.github.containers.oci-delta.v1",
    config: put("application/vnd.oci.empty.v1+json", Buffer.from("{}")),
    layers: [
      embedded(MANIFEST, target.manifest, "image-manifest"),
      embedded("application/vnd.oci.image.config.v1+json", target.config, "image-config"),
      ...Object.entries(layers).map(([number, { blob, mediaType }]) =>
        put(mediaType ?? "application/vnd.tar-diff", blob, {
          [`${PREFIX}content`]: "image-layer",
          [`${PREFIX}to`]: target.layers[Number(number)]!.digest,
        }),
      ),
    ],
    subject: { mediaType: MANIFEST, digest: subject, size },
    annotations: {
      [`${PREFIX}source`]: source.manifest,
      [`${PREFIX}source-config`]: source.config,
      [`${PREFIX}target`]: target.manifest,
    },
  };
  const descriptor = put(MANIFEST, Buffer.from(JSON.stringify(manifest)));
  const path = join(layout, "index.json");
  const index = JSON.parse(readFileSync(path, "utf8")) as { manifests: object[] };
  const named = tag === undefined ? {} : { annotations: { "org.opencontainers.image.ref.name": tag } };
  index.manifests.push({ ...descriptor, ...named });
  writeFileSync(path, JSON.stringify(index));
  return descriptor.digest;
}
