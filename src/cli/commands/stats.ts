import type { Repository } from "../../repository/repository.ts";
import type { Amount } from "../../repository/usage/user-sets.ts";
import type { Arguments } from "../arguments.ts";
import type { Context } from "../context.ts";
import { formatBytes } from "../format-bytes.ts";
import { openRepository } from "../repository.ts";
import {
  bytesWithoutSharing,
  largestRoots,
  type MeasuredRepository,
  measureRepository,
  usedBytes,
} from "../usage/measure.ts";

/** Of more roots than this, only the largest ones are compared with each other. */
const MAX_COMPARED = 64;

/** `cfsctl stats` */
export function run(context: Context, args: Arguments): void {
  using repository = openRepository(context);
  const measured = measureRepository(repository, (message) => context.err.warning(message));
  if (args.flag("json")) context.out.json(jsonOf(repository, measured));
  else printText(context, repository, measured);
}

function jsonOf(repository: Repository, measured: MeasuredRepository) {
  const { roots, usage } = measured;
  return {
    repository: repository.path,
    algorithm: repository.algorithm.id,
    erofs_versions: repository.erofsVersions,
    requires_verity: repository.secure,
    objects: {
      ...usage.total,
      allocated_bytes: usage.inventory.allocated,
      files: usage.used.file,
      images: usage.used.image,
      streams: usage.used.stream,
      unused: usage.unused,
    },
    sharing: {
      used_bytes: usedBytes(measured),
      bytes_without_sharing: bytesWithoutSharing(measured),
      pairs: sharedPairs(measured),
    },
    roots: roots.map(({ kind, names, created, container }, i) => {
      const { needs, own, added, missing, unreadable } = usage.roots[i]!;
      return {
        kind,
        names,
        created: created === undefined ? null : new Date(created).toISOString(),
        digest: container?.digest ?? null,
        needs,
        own,
        added,
        missing_objects: missing,
        error: unreadable ?? null,
      };
    }),
  };
}

/** Bytes that two roots, by their index, have in common, where there are any. */
function sharedPairs(measured: MeasuredRepository) {
  const compared = largestRoots(measured, MAX_COMPARED);
  const shared = measured.usage.sharedBytes(compared);
  return compared.flatMap((a, i) =>
    compared.slice(i + 1).flatMap((b, j) => {
      const bytes = shared[i]![i + 1 + j]!;
      return bytes === 0 ? [] : [{ roots: [a, b], bytes }];
    }),
  );
}

function printText({ out }: Context, repository: Repository, measured: MeasuredRepository): void {
  const { roots, usage } = measured;
  const property = (name: string, text: string) => out.line(`${name.padEnd(12)}${text}`);
  const amount = ({ count, bytes }: Amount) => `${count}, ${formatBytes(bytes)}`;
  const { algorithm, erofsVersions, secure, path } = repository;
  property("repository", path);
  property(
    "settings",
    [
      algorithm.id,
      `format ${erofsVersions.join(", ")}`,
      secure ? "requires fs-verity" : "does without fs-verity",
    ].join("; "),
  );
  property("objects", `${amount(usage.total)}, ${formatBytes(usage.inventory.allocated)} on disk`);
  property("  files", amount(usage.used.file));
  property("  images", amount(usage.used.image));
  property("  streams", amount(usage.used.stream));
  property("  unused", amount(usage.unused));
  const without = bytesWithoutSharing(measured);
  const used = usedBytes(measured);
  if (without > used) property("sharing", `saves ${formatBytes(without - used)} of ${formatBytes(without)}`);
  if (roots.length === 0) return;
  out.line();
  out.table(
    ["NAME", "KIND", "CREATED", "OBJECTS", "SIZE", "OWN", "ADDED"],
    roots.map(({ names, kind, created }, i) => {
      const { needs, own, added } = usage.roots[i]!;
      return [
        names.join(", "),
        kind,
        created === undefined ? "" : new Date(created).toISOString().slice(0, 10),
        String(needs.count),
        formatBytes(needs.bytes),
        formatBytes(own.bytes),
        formatBytes(added.bytes),
      ];
    }),
  );
}
