import { join } from "node:path";
import { CfsError } from "../../../errors.ts";
import { type Checksum, isChecksum, parseChecksum } from "../../../ostree/checksum.ts";
import { dictionaryJson, formatTimestamp, valueJson } from "../../../ostree/commit-text.ts";
import { openDeltaFile } from "../../../ostree/delta/delta-file.ts";
import { describeParts, type PartDescription } from "../../../ostree/delta/describe-delta.ts";
import { deltaDirectory } from "../../../ostree/delta/names.ts";
import { detachedMetadataOf, type Superblock } from "../../../ostree/delta/superblock.ts";
import { parseDetachedMetadata } from "../../../ostree/detached-metadata.ts";
import { LocalRepository } from "../../../ostree/local/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";

/** `cfsctl ostree delta inspect PATH`, or `OSTREE_REPO FROM TO` */
export async function run(context: Context, args: Arguments): Promise<void> {
  const delta = openDeltaFile(await pathOf(args));
  const parts = await describeParts(delta);
  if (args.flag("json")) context.out.json(json(delta.superblock, parts));
  else print(context, delta.superblock, parts);
}

async function pathOf(args: Arguments): Promise<string> {
  const path = args.required("PATH");
  const from = args.optional("FROM");
  const to = args.optional("TO");
  if (from === undefined) return path;
  if (to === undefined) {
    throw new CfsError("Usage", "of a delta in a repository, both commits are needed", {
      hint: "FROM is `-` for a delta from nothing",
    });
  }
  await using repository = LocalRepository.open(path);
  const resolve = async (name: string): Promise<Checksum> =>
    isChecksum(name) ? parseChecksum(name, name) : await repository.resolveRef(name);
  const start = from === "-" ? undefined : await resolve(from);
  return join(path, deltaDirectory(start, await resolve(to)), "superblock");
}

function print({ out }: Context, superblock: Superblock, parts: readonly PartDescription[]): void {
  const { from, to, timestamp, byteOrder, fallbacks } = superblock;
  out.line(`from      ${from ?? "nothing"}`);
  out.line(`to        ${to}`);
  out.line(`date      ${formatTimestamp(timestamp)}`);
  out.line(`order     ${byteOrder}-endian`);
  const signed = Object.entries(signatureCounts(superblock)).map(([method, count]) => `${count} ${method}`);
  out.line(`signed    ${signed.length === 0 ? "no" : signed.join(", ")}`);
  out.line(`parts     ${parts.length}: ${sizes(parts)}`);
  for (const [i, part] of parts.entries()) {
    const where = part.inline === undefined ? "" : ", in the superblock";
    const how = part.isCompressed ? "xz" : "not compressed";
    out.line(`  ${i}: ${part.objects.length} objects, ${sizes([part])}, ${how}${where}`);
    const tables = `${part.modes} modes, ${part.xattrs} sets of xattrs, ${part.dataSize} bytes of data`;
    const counts = operationsJson(part).filter(([, count]) => count > 0);
    out.line(`     ${[tables, ...counts.map((entry) => entry.join(" "))].join(", ")}`);
  }
  out.line(`fallbacks ${fallbacks.length}: ${sizes(fallbacks)}`);
  for (const object of fallbacks) out.line(`  ${object.type} ${object.checksum}: ${sizes([object])}`);
}

interface Sizes {
  readonly storedSize: number;
  readonly contentSize: number;
}

function total(items: readonly Sizes[]): Sizes {
  return {
    storedSize: items.reduce((sum, { storedSize }) => sum + storedSize, 0),
    contentSize: items.reduce((sum, { contentSize }) => sum + contentSize, 0),
  };
}

function sizes(items: readonly Sizes[]): string {
  const { storedSize, contentSize } = total(items);
  return `${storedSize} bytes for ${contentSize} bytes of content`;
}

function sizesJson({ storedSize, contentSize }: Sizes): object {
  return { stored_size: storedSize, content_size: contentSize };
}

function signatureCounts({ signatures }: Superblock): Record<string, number> {
  const count = (value: unknown) => (Array.isArray(value) ? value.length : 1);
  return Object.fromEntries(
    (signatures?.signatures ?? []).map(([method, { value }]) => [method, count(value)]),
  );
}

function operationsJson({ operations }: PartDescription): [name: string, count: number][] {
  const name = (operation: string) => operation.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.entries(operations).map(([operation, count]) => [name(operation), count]);
}

function json(superblock: Superblock, parts: readonly PartDescription[]): object {
  const { from, to, timestamp, byteOrder, metadata, fallbacks } = superblock;
  const detached = detachedMetadataOf(superblock);
  return {
    from: from ?? null,
    to,
    timestamp: valueJson(timestamp),
    date: formatTimestamp(timestamp),
    byte_order: byteOrder,
    signatures: signatureCounts(superblock),
    metadata: dictionaryJson(metadata),
    detached_metadata: detached === undefined ? null : dictionaryJson(parseDetachedMetadata(detached)),
    ...sizesJson(total([...parts, ...fallbacks])),
    parts: parts.map((part) => ({
      checksum: part.checksum,
      ...sizesJson(part),
      inline: part.inline !== undefined,
      compression: part.isCompressed ? "xz" : null,
      modes: part.modes,
      xattrs: part.xattrs,
      data_size: part.dataSize,
      operations_size: part.operationsSize,
      operations: Object.fromEntries(operationsJson(part)),
      objects: part.objects,
    })),
    fallbacks: fallbacks.map((object) => ({
      type: object.type,
      checksum: object.checksum,
      ...sizesJson(object),
    })),
  };
}
