import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** How a layer is packed; the last three are unusual, but legal. */
export type Packing = "plain" | "gzip" | "zstd" | "gzip-members" | "zstd-frames" | "zstd-skippable";

export interface LayerSpec {
  readonly tar: Uint8Array;
  readonly packing?: Packing;
  /** What is published, instead of the packed tar. */
  readonly blob?: Uint8Array;
}

export interface ImageSpec {
  readonly tag: string;
  readonly layers: readonly LayerSpec[];
  /** Changes of the config and the manifest before they are written. */
  readonly config?: (config: Config) => void;
  readonly manifest?: (manifest: Manifest) => void;
}

interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
}

interface Config {
  architecture: string;
  os: string;
  rootfs: { type: string; diff_ids: string[] };
  [field: string]: unknown;
}

interface Manifest {
  schemaVersion: number;
  mediaType: string;
  config: Descriptor;
  layers: Descriptor[];
}

/** What was written of an image. */
export interface WrittenImage {
  readonly manifest: string;
  readonly config: string;
  readonly layers: readonly { readonly digest: string; readonly diffId: string }[];
}

const TYPE = "application/vnd.oci.image";

/** Writes an OCI image layout with these images. */
export function writeLayout(directory: string, images: readonly ImageSpec[]): WrittenImage[] {
  mkdirSync(join(directory, "blobs", "sha256"), { recursive: true });
  const put = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = digestOf(bytes);
    writeFileSync(blobPath(directory, digest), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const index: object[] = [];
  const written = images.map((image) => {
    const layers = image.layers.map(({ tar, packing = "gzip", blob }) => ({
      diffId: digestOf(tar),
      descriptor: put(mediaTypeOf(packing), blob ?? pack(tar, packing)),
    }));
    const config: Config = {
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    };
    image.config?.(config);
    const manifest: Manifest = {
      schemaVersion: 2,
      mediaType: `${TYPE}.manifest.v1+json`,
      config: put(`${TYPE}.config.v1+json`, json(config)),
      layers: layers.map(({ descriptor }) => descriptor),
    };
    image.manifest?.(manifest);
    const descriptor = put(manifest.mediaType, json(manifest));
    index.push({ ...descriptor, annotations: { "org.opencontainers.image.ref.name": image.tag } });
    return {
      manifest: descriptor.digest,
      config: manifest.config.digest,
      layers: layers.map(({ diffId, descriptor }) => ({ digest: descriptor.digest, diffId })),
    };
  });
  writeFileSync(join(directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(join(directory, "index.json"), json({ schemaVersion: 2, manifests: index }));
  return written;
}

export function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", ...digest.split(":"));
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function json(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function mediaTypeOf(packing: Packing): string {
  const compression = packing === "plain" ? "" : `+${packing.split("-")[0]}`;
  return `${TYPE}.layer.v1.tar${compression}`;
}

/** Skippable frame: magic, little-endian length, content that no decoder looks at. */
const SKIPPABLE = Buffer.from("502a4d180b000000", "hex");

function pack(tar: Uint8Array, packing: Packing): Uint8Array {
  const zip = (bytes: Uint8Array) => Bun.gzipSync(Buffer.from(bytes), { level: 1 });
  const thirds = () => {
    const step = Math.ceil(tar.length / 3);
    return [tar.subarray(0, step), tar.subarray(step, 2 * step), tar.subarray(2 * step)];
  };
  const skippable = Buffer.concat([SKIPPABLE, Buffer.from("not a frame")]);
  switch (packing) {
    case "plain":
      return tar;
    case "gzip":
      return zip(tar);
    case "gzip-members":
      return Buffer.concat(thirds().map(zip));
    case "zstd":
      return Bun.zstdCompressSync(tar);
    case "zstd-frames":
      return Buffer.concat(thirds().map((part) => Bun.zstdCompressSync(part)));
    case "zstd-skippable":
      return Buffer.concat([skippable, Bun.zstdCompressSync(tar), skippable]);
  }
}
