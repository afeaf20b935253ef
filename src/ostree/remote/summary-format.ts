import { CfsError } from "../../errors.ts";
import { CHECKSUM_SIZE, type Checksum, checksumOf, parseChecksum } from "../checksum.ts";
import { readGVariant, type Value, type Variant } from "../gvariant.ts";

/** What a summary says of a ref. */
export interface SummaryRef {
  readonly name: string;
  readonly commit: Checksum;
}

/** The list of a repository's refs, as the file `summary` has it. */
export interface Summary {
  /** In stored order. */
  readonly refs: readonly SummaryRef[];
  /** By the names of the deltas, `FROM-TO` or `TO`: the checksums of their superblocks. */
  readonly deltas: ReadonlyMap<string, Checksum>;
  /** The deltas of a commit are listed in a file for this commit. */
  readonly hasDeltaIndexes: boolean;
}

const SUMMARY = "(a(s(taya{sv}))a{sv})";
const INDEX = "(a{s(ayaaya{sv})}a{sv})";
const DICTIONARY = "a{sv}";
const DELTAS_KEY = "ostree.static-deltas";

type Entries = readonly (readonly [string, Variant])[];

/** @throws CfsError Corrupt */
export function parseSummary(bytes: Uint8Array): Summary {
  const [refs, metadata] = readGVariant(SUMMARY, bytes) as unknown as [
    [string, [bigint, Uint8Array, Value]][],
    Entries,
  ];
  return {
    refs: refs.map(([name, [, commit]]) => ({
      name,
      commit: checksumIn(commit, `the commit of the ref '${name}'`),
    })),
    deltas: deltasIn(metadata),
    hasDeltaIndexes: metadata.some(
      ([key, { value }]) => key === "ostree.summary.indexed-deltas" && value === true,
    ),
  };
}

/** The checksums of the summaries that a `summary.idx` names, by their keys. @throws CfsError Corrupt */
export function parseSummaryIndex(bytes: Uint8Array): Map<string, Checksum> {
  const [subsets] = readGVariant(INDEX, bytes) as unknown as [[string, [Uint8Array, Value, Value]][], Value];
  return new Map(
    subsets.map(([key, [checksum]]) => [key, checksumIn(checksum, `the summary of the subset '${key}'`)]),
  );
}

/** The static deltas in a delta index; see `Summary.deltas`. @throws CfsError Corrupt */
export function parseDeltaIndex(bytes: Uint8Array): Map<string, Checksum> {
  return deltasIn(readGVariant(DICTIONARY, bytes) as unknown as Entries);
}

function deltasIn(metadata: Entries): Map<string, Checksum> {
  const deltas = new Map<string, Checksum>();
  const listed = metadata.find(([key]) => key === DELTAS_KEY)?.[1];
  if (listed?.signature !== DICTIONARY) return deltas;
  for (const [name, { signature, value }] of listed.value as unknown as Entries) {
    if (signature !== "ay")
      throw new CfsError("Corrupt", `the checksum of the static delta '${name}' is none`);
    deltas.set(
      deltaName(name),
      checksumIn(value as Uint8Array, `the checksum of the static delta '${name}'`),
    );
  }
  return deltas;
}

function deltaName(text: string): string {
  return text
    .split("-")
    .map((part) => parseChecksum(part, `a part of the static delta's name '${text}'`))
    .join("-");
}

function checksumIn(bytes: Uint8Array, what: string): Checksum {
  if (bytes.length === CHECKSUM_SIZE) return checksumOf(bytes);
  throw new CfsError("Corrupt", `${what} has ${bytes.length} bytes instead of ${CHECKSUM_SIZE}`);
}
