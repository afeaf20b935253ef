import { CfsError, withContext } from "../errors.ts";
import { type Algorithm, SHA256, SHA512 } from "../verity/digest.ts";
import { type JsonValue, jsonError, parseStrictJson } from "./strict-json.ts";

/** The file that makes a directory a repository. */
export const META_NAME = "meta.json";

/** A meta.json is some hundred bytes; more than this is none. */
export const MAX_META_SIZE = 64 * 1024;

const MAX_VERSION = 1;

/** Set together with a default EROFS format of 1, so that tools older than the `erofs_formats` field stay away. */
const V1_EROFS = "v1_erofs";

const KNOWN_READ_ONLY_COMPATIBLE: ReadonlySet<string> = new Set([V1_EROFS]);

/** 0 and 1: compact inodes, breadth first; 2: extended inodes, depth first. */
export type ErofsVersion = 0 | 1 | 2;

export interface Features {
  /** May be ignored. */
  readonly compatible: readonly string[];
  /** Who does not know one of these may read but not write. */
  readonly readOnlyCompatible: readonly string[];
  /** Who does not know one of these may not even read. */
  readonly incompatible: readonly string[];
}

export interface ErofsFormats {
  readonly default: ErofsVersion;
  /** Further formats that pulls make images in; sorted, each once. */
  readonly extra: readonly ErofsVersion[];
}

/** Content of meta.json. */
export interface RepositoryMeta {
  readonly version: number;
  readonly algorithm: Algorithm;
  readonly features: Features;
  readonly erofsFormats?: ErofsFormats;
}

/** What `init` writes. */
export function newMeta(algorithm: Algorithm, erofsVersion: ErofsVersion): RepositoryMeta {
  return {
    version: MAX_VERSION,
    algorithm,
    features: {
      compatible: [],
      readOnlyCompatible: erofsVersion === 1 ? [V1_EROFS] : [],
      incompatible: [],
    },
    erofsFormats: { default: erofsVersion, extra: [] },
  };
}

/** The text of meta.json: two-space JSON with a final newline, keys in fixed order. */
export function formatMeta(meta: RepositoryMeta): string {
  const { features, erofsFormats } = meta;
  const json = {
    version: meta.version,
    algorithm: meta.algorithm.id,
    features: {
      compatible: features.compatible,
      "read-only-compatible": features.readOnlyCompatible,
      incompatible: features.incompatible,
    },
    ...(erofsFormats && {
      erofs_formats: {
        default: erofsFormats.default,
        ...(erofsFormats.extra.length > 0 && { extra: erofsFormats.extra }),
      },
    }),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/**
 * Parses meta.json and checks that this version may read the repository.
 * Unknown members are ignored; known ones must be there once and have the right type. As in the files' other readers,
 * an object may also be an array of its members' values in order.
 * @throws CfsError Corrupt for bad text, Unsupported for a newer format or an unknown incompatible feature
 */
export function parseMeta(bytes: Uint8Array): RepositoryMeta {
  let meta: RepositoryMeta;
  try {
    if (bytes.length > MAX_META_SIZE) throw new CfsError("Corrupt", `larger than ${MAX_META_SIZE} bytes`);
    meta = readMeta(parseStrictJson(bytes));
  } catch (error) {
    throw withContext(META_NAME, error);
  }
  if (meta.version > MAX_VERSION) {
    throw new CfsError(
      "Unsupported",
      `unsupported repository format version ${meta.version} (this tool supports up to ${MAX_VERSION})`,
    );
  }
  if (meta.features.incompatible.length > 0) {
    throw new CfsError(
      "Unsupported",
      `repository requires unknown incompatible features: ${quotedList(meta.features.incompatible)}`,
    );
  }
  return meta;
}

/** Features that forbid writing because this version does not know them. */
export function unknownWriteFeatures(meta: RepositoryMeta): string[] {
  return meta.features.readOnlyCompatible.filter((name) => !KNOWN_READ_ONLY_COMPATIBLE.has(name));
}

export function quotedList(names: readonly string[]): string {
  return `[${names.map((name) => JSON.stringify(name)).join(", ")}]`;
}

/** The format of images made in this repository. */
export function effectiveErofsVersion(meta: RepositoryMeta): ErofsVersion {
  const formats = meta.erofsFormats;
  // A lone default of 2 is what tools wrote that knew the flag but not yet the field: the flag decides.
  if (formats !== undefined && (formats.default !== 2 || formats.extra.length > 0)) return formats.default;
  return meta.features.readOnlyCompatible.includes(V1_EROFS) ? 1 : 2;
}

/** Whether both stand for the same configuration. */
export function sameMeta(a: RepositoryMeta, b: RepositoryMeta): boolean {
  return formatMeta(a) === formatMeta(b);
}

/**
 * Parses `fsverity-<hash>-<log2 of the block size>`, as in meta.json and `init --algorithm`.
 * @throws CfsError Invalid
 */
export function parseAlgorithmId(text: string): Algorithm {
  const prefix = "fsverity-";
  if (!text.startsWith(prefix)) throw invalid("algorithm must start with 'fsverity-'");
  const rest = text.slice(prefix.length);
  const dash = rest.lastIndexOf("-");
  if (dash < 0) throw invalid("algorithm must be 'fsverity-<hash>-<lg_blocksize>'");
  const digits = rest.slice(dash + 1);
  if (!/^\+?[0-9]+$/.test(digits) || Number(digits) > 255) throw invalid(`invalid lg_blocksize '${digits}'`);
  if (Number(digits) !== 12) {
    throw invalid(`unsupported lg_blocksize ${Number(digits)} (only 12 is currently supported)`);
  }
  const hash = rest.slice(0, dash);
  if (hash === SHA256.hash) return SHA256;
  if (hash === SHA512.hash) return SHA512;
  throw invalid(`unsupported hash algorithm '${hash}' (expected sha256 or sha512)`);
}

function invalid(message: string): CfsError {
  return new CfsError("Invalid", message);
}

function readMeta(root: JsonValue): RepositoryMeta {
  const fields = structFields(root, ["version", "algorithm", "features", "erofs_formats"]);
  const algorithm = required(root, fields, "algorithm");
  const meta: RepositoryMeta = {
    version: u32(required(root, fields, "version")),
    algorithm: algorithmOf(algorithm),
    features: readFeatures(fields.get("features")),
  };
  const formats = fields.get("erofs_formats");
  return formats === undefined ? meta : { ...meta, erofsFormats: readFormats(formats) };
}

function readFeatures(value: JsonValue | undefined): Features {
  const names = ["compatible", "read-only-compatible", "incompatible"];
  const fields = value === undefined ? new Map<string, JsonValue>() : structFields(value, names);
  const list = (name: string) => arrayOf(fields.get(name)).map(string);
  return {
    compatible: list("compatible"),
    readOnlyCompatible: list("read-only-compatible"),
    incompatible: list("incompatible"),
  };
}

function readFormats(value: JsonValue): ErofsFormats {
  const fields = structFields(value, ["default", "extra"]);
  const extra = new Set(arrayOf(fields.get("extra")).map(erofsVersion));
  return { default: erofsVersion(required(value, fields, "default")), extra: [...extra].sort() };
}

/** The known members of an object, or of an array that holds their values in order. */
function structFields(value: JsonValue, names: readonly string[]): Map<string, JsonValue> {
  const fields = new Map<string, JsonValue>();
  if (value.kind === "array") {
    if (value.items.length > names.length) throw jsonError(value, `more than ${names.length} elements`);
    value.items.forEach((item, i) => {
      fields.set(names[i]!, item);
    });
    return fields;
  }
  if (value.kind !== "object") throw wrongType(value, "an object");
  for (const member of value.members) {
    if (!names.includes(member.name)) continue;
    if (fields.has(member.name)) throw jsonError(member.value, `'${member.name}' stands there twice`);
    fields.set(member.name, member.value);
  }
  return fields;
}

function required(parent: JsonValue, fields: ReadonlyMap<string, JsonValue>, name: string): JsonValue {
  const value = fields.get(name);
  if (value === undefined) throw jsonError(parent, `'${name}' is missing`);
  return value;
}

function wrongType(value: JsonValue, expected: string): CfsError {
  return jsonError(value, `${value.kind} found where ${expected} is expected`);
}

function u32(value: JsonValue): number {
  if (value.kind !== "integer") throw wrongType(value, "an integer");
  if (value.value < 0n || value.value > 0xffffffffn) throw jsonError(value, `${value.value} is out of range`);
  return Number(value.value);
}

function erofsVersion(value: JsonValue): ErofsVersion {
  const version = u32(value);
  if (version !== 0 && version !== 1 && version !== 2) {
    throw jsonError(value, `EROFS format ${version} is unknown (known: 0, 1, 2)`);
  }
  return version;
}

function string(value: JsonValue): string {
  if (value.kind !== "string") throw wrongType(value, "a string");
  return value.value;
}

function arrayOf(value: JsonValue | undefined): readonly JsonValue[] {
  if (value === undefined) return [];
  if (value.kind !== "array") throw wrongType(value, "an array");
  return value.items;
}

function algorithmOf(value: JsonValue): Algorithm {
  const text = string(value);
  try {
    return parseAlgorithmId(text);
  } catch (error) {
    throw jsonError(value, (error as Error).message);
  }
}
