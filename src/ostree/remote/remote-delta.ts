import { CfsError } from "../../errors.ts";
import { type Checksum, computeChecksum } from "../checksum.ts";
import type { ObjectLookup } from "../commit-table.ts";
import { memoryRange } from "../delta/byte-range.ts";
import { deltaDirectory } from "../delta/names.ts";
import type { Delta } from "../delta/pull-delta.ts";
import { readSuperblock, type Superblock } from "../delta/superblock.ts";
import { parseCommit } from "../objects.ts";
import type { OfferedDelta, RemoteRepository } from "./remote-repository.ts";

/** With parts inside. */
const MAX_SUPERBLOCK_SIZE = 256 * 1024 * 1024;
/** What a request for a single object takes besides the object, in bytes that could be transferred in that time. */
const REQUEST_COST = 512;

/** Commits that are in the repository. */
export interface LocalCommits {
  /** The most useful ones first. */
  readonly all: readonly Checksum[];
  /** What it has; undefined when it is not there, or damaged. */
  readonly open: (commit: Checksum) => ObjectLookup | undefined;
  /** Whose objects would not be fetched if there were no delta, besides those of the commit's parent. */
  readonly bases: readonly Checksum[];
}

/**
 * The static delta by which a commit is best brought in.
 * @returns undefined when there is none, or single objects are less to fetch.
 * @throws CfsError Corrupt when it is damaged
 */
export async function findDelta(
  remote: RemoteRepository,
  commit: Checksum,
  local: LocalCommits,
): Promise<Delta | undefined> {
  const offers = await remote.deltasTo(commit);
  const offer = bestOffer(offers, local.all);
  if (offer === undefined) return undefined;
  const directory = deltaDirectory(offer.from, commit);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await remote.deltaFile(directory, "superblock", MAX_SUPERBLOCK_SIZE);
  } catch (error) {
    if (error instanceof CfsError && error.kind === "NotFound") return undefined;
    throw error;
  }
  const superblock = parseOffered(bytes, offer, commit);
  if (isLessByObjects(superblock, local)) return undefined;
  return {
    superblock,
    readPart: async (index, signal) => {
      const { inline, storedSize } = superblock.parts[index]!;
      return inline === undefined
        ? await remote.deltaFile(directory, String(index), storedSize, signal)
        : bytes.slice(inline.start, inline.start + inline.size);
    },
  };
}

function bestOffer(offers: readonly OfferedDelta[], commits: readonly Checksum[]): OfferedDelta | undefined {
  for (const commit of commits) {
    const found = offers.find(({ from }) => from === commit);
    if (found !== undefined) return found;
  }
  return offers.find(({ from }) => from === undefined);
}

function parseOffered(
  bytes: Uint8Array<ArrayBuffer>,
  { from, checksum }: OfferedDelta,
  to: Checksum,
): Superblock {
  const found = computeChecksum(bytes);
  if (found !== checksum) {
    throw new CfsError(
      "Corrupt",
      `the static delta to ${to} has the checksum ${found} instead of ${checksum}`,
      {
        data: { expected: checksum, found },
      },
    );
  }
  const superblock = readSuperblock(memoryRange(bytes));
  if (superblock.to === to && superblock.from === from) return superblock;
  throw new CfsError("Corrupt", `the static delta to ${to} is one to ${superblock.to}`);
}

/** Whether so much of a delta is here already that what is missing is less on its own. */
function isLessByObjects({ commit, parts }: Superblock, { bases, open }: LocalCommits): boolean {
  const { parent } = parseCommit(commit);
  const here = new Set(parent === undefined ? bases : [parent, ...bases]);
  const lookups = [...here].map(open).filter((base) => base !== undefined);
  if (lookups.length === 0) return false;
  let deltaSize = 0;
  let objectsSize = 0;
  for (const { storedSize, inline, objects } of parts) {
    const missing = objects.filter(({ checksum }) =>
      lookups.every((base) => base.find(checksum) === undefined),
    );
    // What is in the superblock has been fetched.
    if (inline === undefined) deltaSize += storedSize;
    objectsSize += missing.length * REQUEST_COST;
    if (objects.length > 0) objectsSize += (storedSize * missing.length) / objects.length;
  }
  return objectsSize < deltaSize;
}
