import { display, toText } from "../../bytes.ts";
import { CfsError, describeError } from "../../errors.ts";
import type { OciDigest } from "../../oci/digest.ts";
import { isDigest } from "../../oci/digest.ts";
import { layerHistory } from "../../oci/history.ts";
import { imageConfigOf, openManifest } from "../../oci/image.ts";
import { artifactTypeOf } from "../../oci/manifest.ts";
import { formatPlatform } from "../../oci/platform.ts";
import { MANIFEST_PREFIX } from "../../oci/streams.ts";
import { decodeTag } from "../../oci/tags.ts";
import { commitTime } from "../../ostree/commit-time.ts";
import { commitOfStreamName, nameOfCommitRef } from "../../ostree/names.ts";
import { ReferenceGraph, type Root } from "../../repository/live-objects.ts";
import type { Repository } from "../../repository/repository.ts";
import type { ObjectId } from "../../verity/digest.ts";

export type RootKind = "image" | "container" | "artifact" | "commit" | "index" | "stream";

/** Something that has a name in a repository, however many names it has. */
export interface UsageRoot {
  readonly kind: RootKind;
  /** As the commands take them, sorted. */
  readonly names: readonly string[];
  readonly id: ObjectId;
  /** Milliseconds since 1970, as it says of itself. */
  readonly created: number | undefined;
  /** Of container images and artifacts. */
  readonly container: ContainerFacts | undefined;
}

export interface ContainerFacts {
  readonly digest: OciDigest;
  readonly platform: string | undefined;
  /** Of artifacts. */
  readonly type: string | undefined;
  readonly layers: readonly LayerFacts[];
}

export interface LayerFacts {
  /** Of an artifact's blob, its digest. */
  readonly diffId: OciDigest;
  /** As published. */
  readonly size: number;
  readonly createdBy: string | undefined;
}

/**
 * What the refs of a repository lead to, each thing once, the oldest first; things without a time come last, by name.
 * @param onUnreadable is told about refs that lead nowhere, and about what says too little about itself.
 */
export function findUsageRoots(repository: Repository, onUnreadable: (message: string) => void): UsageRoot[] {
  const groups = new Map<ObjectId, Root[]>();
  for (const root of new ReferenceGraph(repository).roots()) {
    const { id, path } = root;
    if (id === undefined) onUnreadable(`${path} leads to no object`);
    else groups.set(id, [...(groups.get(id) ?? []), root]);
  }
  const roots = [...groups].map(([id, refs]) => describe(repository, id, refs, onUnreadable));
  return roots.sort(
    (a, b) =>
      (a.created ?? Number.POSITIVE_INFINITY) - (b.created ?? Number.POSITIVE_INFINITY) ||
      (a.names[0]! < b.names[0]! ? -1 : 1),
  );
}

function describe(
  repository: Repository,
  id: ObjectId,
  refs: readonly Root[],
  onUnreadable: (message: string) => void,
): UsageRoot {
  const named = refs.map(nameOf);
  // A tag says more about a manifest than that it belongs to an index.
  const { kind } = named.find((n) => n.kind !== "stream" && n.kind !== "index") ?? named[0]!;
  const names = named.filter((n) => n.kind === kind).map(({ name }) => name);
  const base = { names: [...new Set(names)].sort(), id, container: undefined, created: undefined };
  const entry = toText(refs[0]!.entry) ?? "";
  try {
    if (entry.startsWith(MANIFEST_PREFIX)) return { ...base, ...containerFacts(repository, entry, kind) };
    const commit = commitOfStreamName(entry);
    if (commit !== undefined) return { ...base, kind, created: commitTime(repository, id) };
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    onUnreadable(`${base.names[0]}: ${describeError(error)}`);
  }
  return { ...base, kind };
}

/** Kind and name by the place of a ref. */
function nameOf({ category, ref }: Root): { kind: RootKind; name: string } {
  const path = display(ref!);
  if (category === "images") return { kind: "image", name: path };
  const [directory, ...rest] = path.split("/");
  const below = rest.join("/");
  if (directory === "oci" && rest.length === 1) return { kind: "container", name: decodeTag(below) };
  if (directory === "ostree" && rest.length === 1)
    return { kind: "commit", name: nameOfCommitRef(ref!.slice("ostree/".length)) ?? below };
  if (directory === "oci-indexes") return { kind: "index", name: `index of ${decodeTag(rest[0] ?? "")}` };
  if (directory === "oci-referrers") return { kind: "artifact", name: `referrer of ${rest[0]}` };
  return { kind: "stream", name: `refs/${path}` };
}

function containerFacts(
  repository: Repository,
  entry: string,
  kind: RootKind,
): { kind: RootKind; created: number | undefined; container: ContainerFacts | undefined } {
  const digest = entry.slice(MANIFEST_PREFIX.length);
  if (!isDigest(digest)) return { kind, created: undefined, container: undefined };
  const image = openManifest(repository, digest);
  const { manifest } = image;
  const config = imageConfigOf(image);
  const history = config === undefined ? [] : layerHistory(config.bytes, config.diffIds.length);
  const layers = manifest.layers.map(({ digest: published, size }, i) => ({
    diffId: config?.diffIds[i] ?? published,
    size,
    createdBy: history[i],
  }));
  return {
    kind: config === undefined && kind === "container" ? "artifact" : kind,
    created: timeOf(config?.created),
    container: {
      digest,
      platform: config && formatPlatform(config.platform),
      type: artifactTypeOf(manifest),
      layers,
    },
  };
}

/** @param text of RFC 3339. */
function timeOf(text: string | undefined): number | undefined {
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}
