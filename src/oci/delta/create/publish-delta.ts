import { openTemporary } from "../../../repository/temporary.ts";
import { pread, pwriteAll } from "../../../sys/file.ts";
import { libc } from "../../../sys/libc.ts";
import { computeDigest, type OciDigest } from "../../digest.ts";
import type { Manifest } from "../../manifest.ts";
import { OCI_MANIFEST } from "../../media-types.ts";
import type { Publication, PushTarget } from "../../push/target.ts";
import {
  DELTA_TYPE,
  DeltaAnnotation,
  DeltaContent,
  PartAnnotation,
  TAR_DIFF,
  type TarDiffVersion,
  tarDiffMagic,
} from "../format.ts";
import type { CreateDeltaOptions, CreatedDelta } from "./create-delta.ts";
import type { DeltaImage } from "./delta-image.ts";
import type { DiffedLayer } from "./diff-layers.ts";
import { openOriginal } from "./original-blob.ts";

/** A layer as the delta has it. */
export interface ChosenLayer {
  /** That of a tar-diff, or the layer's own. */
  readonly mediaType: string;
  readonly digest: OciDigest;
  readonly size: number;
}

/** Of OCI artifacts without a config (OCI image specification, manifest.md). */
const EMPTY_TYPE = "application/vnd.oci.empty.v1+json";
const EMPTY = Buffer.from("{}");
const FILE_MODE = 0o644;
const PIECE = 256 * 1024;

/** Brings all parts of a delta to where it is to be, and its manifest at last. */
export async function publishDelta(
  source: DeltaImage,
  target: DeltaImage,
  made: ReadonlyMap<OciDigest, DiffedLayer>,
  destination: PushTarget,
  { version, isTagged }: Pick<CreateDeltaOptions, "version" | "isTagged">,
): Promise<CreatedDelta> {
  const { manifest, config } = target;
  await putBytes(destination, manifest.bytes, manifest.digest);
  await putBytes(destination, config.bytes, config.digest);
  const chosen = new Map<OciDigest, ChosenLayer>();
  for (const [i, diffId] of config.diffIds.entries()) {
    const layer = made.get(diffId);
    const { digest } = manifest.layers[i]!;
    if (layer !== undefined && !chosen.has(digest))
      chosen.set(digest, await putLayer(target, i, layer, destination, version));
  }
  await putBytes(destination, EMPTY, computeDigest(EMPTY));
  const document = deltaManifest(source, target, chosen);
  await (isTagged ? destination.publish(document) : destination.putDocument(document));
  return {
    manifest: document.digest,
    source: { manifest: source.manifest.digest, config: source.config.digest },
    target: { manifest: manifest.digest, config: config.digest },
    layers: manifest.layers.map(({ digest, size }, i) => ({
      digest,
      diffId: config.diffIds[i]!,
      size,
      delta: chosen.get(digest),
    })),
  };
}

/** The smaller one of the tar-diff and the blob as it was published, where that can be had. */
async function putLayer(
  target: DeltaImage,
  layer: number,
  made: DiffedLayer,
  destination: PushTarget,
  version: TarDiffVersion,
): Promise<ChosenLayer> {
  const { mediaType, digest, size } = target.manifest.layers[layer]!;
  if (size <= made.size) {
    const blob = await openOriginal(target, layer, destination.temporaryDirectory);
    if (blob !== undefined) {
      try {
        if ((await destination.findBlob(digest, size)) === undefined) await destination.putBlob(blob);
        return { mediaType, digest, size };
      } finally {
        libc.close(blob.fd);
      }
    }
  }
  const fd = openTemporary(destination.temporaryDirectory, FILE_MODE);
  try {
    const found = assemble(made, version, fd);
    if ((await destination.findBlob(found, made.size)) === undefined)
      await destination.putBlob({ digest: found, size: made.size, fd, isTemporary: true });
    return { mediaType: TAR_DIFF, digest: found, size: made.size };
  } finally {
    libc.close(fd);
  }
}

/** Writes a tar-diff to a file. @returns its digest. */
function assemble({ spool, frames }: DiffedLayer, version: TarDiffVersion, fd: number): OciDigest {
  const hash = new Bun.CryptoHasher("sha256");
  let at = 0;
  const write = (bytes: Uint8Array<ArrayBuffer>) => {
    hash.update(bytes);
    pwriteAll(fd, bytes, at, "temporary file");
    at += bytes.length;
  };
  write(tarDiffMagic(version));
  const buffer = new Uint8Array(PIECE);
  for (const { offset, length } of frames) {
    for (let done = 0; done < length; done += PIECE) {
      const piece = buffer.subarray(0, Math.min(PIECE, length - done));
      pread(spool, piece, offset + done, "temporary file");
      write(piece);
    }
  }
  return `sha256:${hash.digest("hex")}` as OciDigest;
}

async function putBytes(
  destination: PushTarget,
  bytes: Uint8Array<ArrayBufferLike>,
  digest: OciDigest,
): Promise<void> {
  if ((await destination.findBlob(digest, bytes.length)) !== undefined) return;
  const fd = openTemporary(destination.temporaryDirectory);
  try {
    pwriteAll(fd, bytes, 0, "temporary file");
    await destination.putBlob({ digest, size: bytes.length, fd, isTemporary: false });
  } finally {
    libc.close(fd);
  }
}

/** Compact JSON whose members stand in the order in which other tools write them. */
function deltaManifest(
  source: DeltaImage,
  target: DeltaImage,
  chosen: ReadonlyMap<OciDigest, ChosenLayer>,
): Publication {
  const { manifest, config } = target;
  const subject = descriptorOf(manifest);
  const reused = manifest.layers.flatMap(({ digest }, i) =>
    chosen.has(digest) ? [] : [{ digest, diffId: config.diffIds[i]! }],
  );
  const annotations: Record<string, string> = {
    [DeltaAnnotation.source]: source.manifest.digest,
    [DeltaAnnotation.sourceConfig]: source.config.digest,
    [DeltaAnnotation.target]: manifest.digest,
    ...(reused.length > 0 && {
      [DeltaAnnotation.reused]: JSON.stringify(reused.map(({ digest }) => digest)),
      [DeltaAnnotation.reusedDiffId]: JSON.stringify(reused.map(({ diffId }) => diffId)),
    }),
  };
  const sorted = Object.fromEntries(Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1)));
  const part = (content: string, to?: OciDigest) => ({
    annotations: { [PartAnnotation.content]: content, ...(to !== undefined && { [PartAnnotation.to]: to }) },
  });
  const document = {
    schemaVersion: 2,
    artifactType: DELTA_TYPE,
    config: { mediaType: EMPTY_TYPE, digest: computeDigest(EMPTY), size: EMPTY.length },
    layers: [
      { ...subject, ...part(DeltaContent.imageManifest) },
      {
        mediaType: manifest.config.mediaType,
        digest: config.digest,
        size: config.bytes.length,
        ...part(DeltaContent.imageConfig),
      },
      ...manifest.layers.flatMap(({ digest }) => {
        const layer = chosen.get(digest);
        return layer === undefined ? [] : [{ ...layer, ...part(DeltaContent.imageLayer, digest) }];
      }),
    ],
    subject,
    annotations: sorted,
  };
  const bytes = new Uint8Array(Buffer.from(JSON.stringify(document)));
  return {
    bytes,
    digest: computeDigest(bytes),
    mediaType: OCI_MANIFEST,
    subject: { ...subject, annotations: new Map() },
    artifactType: DELTA_TYPE,
    annotations: new Map(Object.entries(sorted)),
  };
}

function descriptorOf({ mediaType, digest, bytes }: Manifest) {
  return { mediaType, digest, size: bytes.length };
}
