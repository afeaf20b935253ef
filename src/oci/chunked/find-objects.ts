import { CfsError } from "../../errors.ts";
import { WorkerPool } from "../../parallel/pool.ts";
import { openCategory } from "../../repository/refs.ts";
import type { Repository } from "../../repository/repository.ts";
import { readDirectory } from "../../sys/dir.ts";
import type { ObjectId } from "../../verity/digest.ts";
import { isDigest, type OciDigest } from "../digest.ts";
import { readStoredLayer } from "../stored-layer.ts";
import { LAYER_PREFIX } from "../streams.ts";
import { type MatchRequest, type MatchTask, matchObjects } from "./match-objects.ts";
import type { ChunkedFile } from "./toc.ts";

/** Layers of other images that are looked into: reading one takes about as long as fetching a megabyte. */
const MAX_OTHER_LAYERS = 32;
const MAX_CANDIDATES = 4;
/** Below this many bytes, starting another thread takes longer than reading them. */
const BYTES_PER_THREAD = 16 * 1024 * 1024;

/**
 * Finds files in the layers that the repository has: by path and size first, then by their content.
 * @param likely diff IDs of the layers to look into first.
 * @returns the object for the number of a file.
 */
export async function findObjects(
  repository: Repository,
  files: readonly ChunkedFile[],
  likely: readonly OciDigest[],
  jobs: number,
): Promise<ReadonlyMap<number, ObjectId>> {
  const candidates = findCandidates(repository, files, likely);
  const numbers = [...candidates.keys()];
  const total = numbers.reduce((sum, number) => sum + files[number]!.size, 0);
  const threads = Math.max(1, Math.min(jobs, Math.ceil(total / BYTES_PER_THREAD)));
  // Dealt out like cards: large and small files lie in groups.
  const hands = Array.from({ length: threads }, (_, hand) => numbers.filter((_n, i) => i % threads === hand));
  const requests = hands.map(
    (hand): MatchRequest => ({
      store: repository.objects.handle,
      tasks: hand.map(
        (number): MatchTask => ({
          digest: files[number]!.digest,
          candidates: candidates.get(number)!,
        }),
      ),
    }),
  );
  const results = await match(requests);
  const found = new Map<number, ObjectId>();
  hands.forEach((hand, i) => {
    hand.forEach((number, j) => {
      const id = results[i]![j];
      if (id !== undefined) found.set(number, id);
    });
  });
  return found;
}

/** Whether there is any layer to look into. */
export function hasLayers(repository: Repository): boolean {
  for (const _ of layersToSearch(repository, [])) return true;
  return false;
}

async function match(requests: readonly MatchRequest[]): Promise<(ObjectId | undefined)[][]> {
  if (requests.length === 1) return [matchObjects(requests[0]!)];
  await using pool = new WorkerPool(requests.length);
  return await pool.run<MatchRequest, (ObjectId | undefined)[]>("match-objects", requests);
}

function findCandidates(
  repository: Repository,
  files: readonly ChunkedFile[],
  likely: readonly OciDigest[],
): Map<number, ObjectId[]> {
  const wanted = new Map<string, number>();
  files.forEach(({ name, size }, number) => {
    wanted.set(key(name, size), number);
  });
  const candidates = new Map<number, ObjectId[]>();
  for (const diffId of layersToSearch(repository, likely)) {
    if (candidates.size === wanted.size) break;
    try {
      for (const { entry, content } of readStoredLayer(repository, diffId)) {
        if (content?.type !== "object") continue;
        const number = wanted.get(key(Buffer.from(entry.path, "latin1").toString(), content.size));
        if (number === undefined) continue;
        const found = candidates.get(number) ?? [];
        if (found.length < MAX_CANDIDATES && !found.includes(content.id)) found.push(content.id);
        candidates.set(number, found);
      }
    } catch (error) {
      // A damaged layer has nothing to offer.
      if (!(error instanceof CfsError)) throw error;
    }
  }
  return candidates;
}

function key(path: string, size: number): string {
  return `${size}:${path.replace(/^(\.?\/)+/, "")}`;
}

function* layersToSearch(repository: Repository, likely: readonly OciDigest[]): Generator<OciDigest> {
  yield* new Set(likely);
  using streams = openCategory(repository, "streams");
  if (streams === undefined) return;
  let others = 0;
  for (const { name } of readDirectory(streams)) {
    if (!name.startsWith(LAYER_PREFIX)) continue;
    const diffId = name.slice(LAYER_PREFIX.length);
    if (!isDigest(diffId) || likely.includes(diffId)) continue;
    if (++others > MAX_OTHER_LAYERS) return;
    yield diffId;
  }
}
