import { createHash } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

/** A layer has at least this much of both. */
const LAYER_BYTES = 320 * 1024 * 1024;
const LAYER_ENTRIES = 22_000;

export interface Found {
  readonly path: string;
  readonly bytes: number;
}

/** Everything below /usr with its size, parents first, in a fixed order. */
export function listUsr(): Found[] {
  const find = Bun.spawnSync(
    [
      "find",
      "/usr",
      "-xdev",
      "(",
      "-type",
      "f",
      "-o",
      "-type",
      "d",
      "-o",
      "-type",
      "l",
      ")",
      "-printf",
      "%P\\t%s\\t%y\\0",
    ],
    {
      maxBuffer: 1 << 30,
    },
  );
  return find.stdout
    .toString("latin1")
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"))
    .filter((fields) => fields.length === 3 && fields[0] !== "")
    .map(([path, bytes, type]) => ({ path: path!, bytes: type === "f" ? Number(bytes) : 0 }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** How many times the usual bytes and entries an image has. */
export interface Scale {
  readonly bytes: number;
  readonly entries: number;
}

/** Takes files off `files` until a layer has enough of both; what there is enough of is then skipped. */
function takeLayer(files: Found[], scale: Scale): string[] {
  const chosen = new Set<string>();
  let bytes = 0;
  while (files.length > 0) {
    const hasBytes = bytes >= LAYER_BYTES * scale.bytes;
    const hasEntries = chosen.size >= LAYER_ENTRIES * scale.entries;
    if (hasBytes && hasEntries) break;
    const file = files.shift()!;
    const isTooLarge = file.bytes > (hasBytes ? 8 * 1024 : 64 * 1024 * 1024);
    const isTooSmall = hasEntries && file.bytes < 64 * 1024;
    if (isTooLarge || isTooSmall) continue;
    for (let parent = dirname(file.path); parent !== "."; parent = dirname(parent)) chosen.add(parent);
    chosen.add(file.path);
    bytes += file.bytes;
  }
  return [...chosen].sort();
}

function sha256File(path: string): { digest: string; size: number } {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(1 << 20);
  const fd = openSync(path, "r");
  for (let n = readSync(fd, buffer); n > 0; n = readSync(fd, buffer)) hash.update(buffer.subarray(0, n));
  closeSync(fd);
  return { digest: `sha256:${hash.digest("hex")}`, size: statSync(path).size };
}

function putBlob(layout: string, temporary: string): { digest: string; size: number } {
  const blob = sha256File(temporary);
  renameSync(temporary, join(layout, "blobs/sha256", blob.digest.slice(7)));
  return blob;
}

export interface BenchImage {
  readonly layout: string;
  readonly entries: number;
  readonly plainBytes: number;
}

/**
 * Makes an OCI layout, tag `bench`, with gzip layers.
 * @param makeTar makes the tar of a layer.
 * @returns bytes of all tars.
 */
export function makeLayout(
  layout: string,
  layerCount: number,
  makeTar: (tar: string, layer: number) => void,
): number {
  rmSync(layout, { recursive: true, force: true });
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  const layers = [];
  const diffIds = [];
  let plainBytes = 0;
  for (let i = 0; i < layerCount; i++) {
    const tar = join(layout, "layer.tar");
    makeTar(tar, i);
    const plain = sha256File(tar);
    plainBytes += plain.size;
    diffIds.push(plain.digest);
    if (Bun.spawnSync(["gzip", "-6", "-n", tar]).exitCode !== 0) throw new Error("gzip failed");
    layers.push({
      mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
      ...putBlob(layout, `${tar}.gz`),
    });
  }
  const json = (value: unknown) => {
    const temporary = join(layout, "document.json");
    writeFileSync(temporary, JSON.stringify(value));
    return putBlob(layout, temporary);
  };
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const config = json({
    architecture,
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: diffIds },
    history: [],
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers,
  });
  writeFileSync(
    join(layout, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [
        {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          ...manifest,
          annotations: { "org.opencontainers.image.ref.name": "bench" },
        },
      ],
    }),
  );
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  return plainBytes;
}

/** @param paths of what is in it, below `root`. */
export function makeTar(tar: string, root: string, paths: readonly string[]): void {
  const made = Bun.spawnSync(
    [
      "tar",
      "-C",
      root,
      "--no-recursion",
      "--null",
      "-T",
      "-",
      "--format=pax",
      "--pax-option=delete=atime,delete=ctime",
      "--numeric-owner",
      "-cf",
      tar,
    ],
    { stdin: Buffer.from(`${paths.join("\0")}\0`, "latin1"), stderr: "inherit" },
  );
  if (made.exitCode !== 0) throw new Error("tar failed");
}

/**
 * Makes an image of two layers from this machine's /usr.
 * @param scale of about 640 MB and 44,000 entries.
 */
function makeImage(layout: string, scale: Scale): BenchImage {
  const files = listUsr();
  let entries = 0;
  const plainBytes = makeLayout(layout, 2, (tar) => {
    const list = ["", ...takeLayer(files, scale)].map((path) => (path === "" ? "usr" : `usr/${path}`));
    entries += list.length;
    makeTar(tar, "/", list);
  });
  return { layout, entries, plainBytes };
}

/**
 * As `makeImage`, in a process of its own: the peak memory that the kernel reports of a child is never less than what
 * its parent had when it was started, so the one that measures must stay small.
 */
export function makeImageApart(layout: string, scale: Scale): BenchImage {
  const child = Bun.spawnSync([process.execPath, import.meta.path, layout, JSON.stringify(scale)], {
    stderr: "inherit",
  });
  if (child.exitCode !== 0) throw new Error("the image could not be made");
  return JSON.parse(child.stdout.toString()) as BenchImage;
}

if (import.meta.main) {
  const [layout, scale] = process.argv.slice(2);
  console.log(JSON.stringify(makeImage(layout!, JSON.parse(scale!) as Scale)));
}
