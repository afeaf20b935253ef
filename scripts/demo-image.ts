/**
 * Writes fixtures/demo/hello.oci.tar, the image of the demonstration: `bun scripts/demo-image.ts`.
 * Two layers, one compressed with gzip and one with zstd; the second replaces a file and removes another.
 * The same bytes every time, given the same Bun.
 */
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { type Header, pack } from "tar-stream";

const MTIME = new Date("2026-01-01T00:00:00Z");

type Entry = Partial<Header> & { readonly name: string; readonly body?: string | Uint8Array };

async function tar(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { body, ...header } of entries) {
    archive.entry(
      { mtime: MTIME, uid: 0, gid: 0, ...header } as Header,
      typeof body === "string" || body === undefined ? (body ?? "") : Buffer.from(body),
    );
  }
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

const directory = (name: string): Entry => ({ name: `${name}/`, type: "directory", mode: 0o755 });
const file = (name: string, body: string, mode = 0o644): Entry => ({ name, type: "file", mode, body });

const GREETING = `Hello from a composefs mount.

This text is longer than 64 bytes, so it is stored once as an object of its own,
named by its fs-verity digest, and shared by every image that holds it.
`;

const base = await tar([
  directory("etc"),
  file("etc/hostname", "hello\n"),
  file("etc/motd", "An older greeting, which the next layer replaces by another text. Nobody will see it.\n"),
  directory("usr"),
  directory("usr/bin"),
  file("usr/bin/hello", '#!/bin/sh\nexec cat "$(dirname "$0")/../share/hello/greeting.txt"\n', 0o755),
  directory("usr/lib"),
  file(
    "usr/lib/os-release",
    'NAME="Hello"\nID=hello\nVERSION_ID=1\nPRETTY_NAME="Hello demonstration image"\n',
  ),
  { name: "etc/os-release", type: "symlink", linkname: "../usr/lib/os-release", mode: 0o777 },
  directory("usr/share"),
  directory("usr/share/hello"),
  file("usr/share/hello/greeting.txt", GREETING),
  { name: "usr/share/hello/again.txt", type: "link", linkname: "usr/share/hello/greeting.txt", mode: 0o644 },
  file(
    "usr/share/hello/obsolete.txt",
    "This file is removed by the next layer and must not be in the image. ".repeat(3),
  ),
]);

const update = await tar([
  directory("etc"),
  file(
    "etc/motd",
    "This greeting came with the second layer, which is compressed with zstd and not with gzip.\n",
  ),
  directory("usr"),
  directory("usr/share"),
  directory("usr/share/hello"),
  file("usr/share/hello/.wh.obsolete.txt", ""),
]);

const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
const blobs = new Map<string, Uint8Array>();

/** Keeps a blob and returns its descriptor. */
function blob(mediaType: string, bytes: Uint8Array) {
  const hex = sha256(bytes);
  blobs.set(hex, bytes);
  return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const created = MTIME.toISOString();

const layers = [
  blob("application/vnd.oci.image.layer.v1.tar+gzip", Bun.gzipSync(new Uint8Array(base), { level: 9 })),
  blob("application/vnd.oci.image.layer.v1.tar+zstd", zstdCompressSync(update)),
];
const config = blob(
  "application/vnd.oci.image.config.v1+json",
  json({
    created,
    architecture: "amd64",
    os: "linux",
    config: { Cmd: ["/usr/bin/hello"], Labels: { "org.opencontainers.image.title": "hello" } },
    rootfs: { type: "layers", diff_ids: [base, update].map((t) => `sha256:${sha256(t)}`) },
    history: [
      { created, created_by: "base" },
      { created, created_by: "update" },
    ],
  }),
);
const manifestType = "application/vnd.oci.image.manifest.v1+json";
const manifest = blob(manifestType, json({ schemaVersion: 2, mediaType: manifestType, config, layers }));
const index = json({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [{ ...manifest, annotations: { "org.opencontainers.image.ref.name": "hello" } }],
});

const archive = await tar([
  directory("blobs"),
  directory("blobs/sha256"),
  ...[...blobs].sort().map(([hex, bytes]) => ({
    name: `blobs/sha256/${hex}`,
    type: "file" as const,
    mode: 0o644,
    body: bytes,
  })),
  { name: "index.json", type: "file", mode: 0o644, body: index },
  file("oci-layout", JSON.stringify({ imageLayoutVersion: "1.0.0" })),
]);
const path = join(import.meta.dir, "..", "fixtures", "demo", "hello.oci.tar");
await Bun.write(path, archive);
console.log(`${path}: ${archive.length} bytes, manifest ${manifest.digest}`);
