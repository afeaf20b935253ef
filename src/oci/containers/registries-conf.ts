import { CfsError, withContext } from "../../errors.ts";
import { asObject, type JsonObject, optionalString } from "../json.ts";
import { comparableScope } from "./scopes.ts";

/** For which references a mirror is asked. */
export type MirrorUse = "all" | "digest-only" | "tag-only";

export interface Mirror {
  /** `HOST[:PORT][/PATH]` */
  readonly location: string;
  readonly insecure: boolean;
  readonly use: MirrorUse;
}

/** A `[[registry]]` table. */
export interface RegistryTable {
  /** `HOST[:PORT][/PATH]` or `*.DOMAIN` */
  readonly prefix: string;
  /** What takes the place of the prefix; undefined when names stay as they are. */
  readonly location: string | undefined;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly Mirror[];
  /** The file that has it, for messages. */
  readonly file: string;
}

export type ShortNameMode = "enforcing" | "permissive" | "disabled";

/** What one file says; undefined where it says nothing. */
export interface RegistriesConf {
  readonly registries: readonly RegistryTable[];
  readonly searchRegistries: readonly string[] | undefined;
  readonly credentialHelpers: readonly string[] | undefined;
  readonly shortNameMode: ShortNameMode | undefined;
  /** Names of repositories by short name; an empty one takes the alias away. */
  readonly aliases: ReadonlyMap<string, string>;
}

const MAX_TABLES = 10_000;
const MIRROR_USES: readonly string[] = ["all", "digest-only", "tag-only"];
const SHORT_NAME_MODES: readonly string[] = ["enforcing", "permissive", "disabled"];

/**
 * Parses a file in the format of containers-registries.conf(5), version 2. Keys that are not known are ignored, as
 * the other tools do.
 * @param version1 whether the deprecated first version is let in: not in drop-in files.
 * @throws CfsError Invalid naming file and field
 */
export function parseRegistriesConf(text: string, file: string, version1: boolean): RegistriesConf {
  let content: unknown;
  try {
    content = Bun.TOML.parse(text);
  } catch (error) {
    throw new CfsError("Invalid", `${file} is not valid TOML`, { cause: error });
  }
  try {
    const document = asObject(content, "the document");
    if (document.registries === undefined) return parseVersion2(document, file);
    if (!version1) throw new CfsError("Invalid", "drop-in files must have version 2 of the format");
    if (document.registry !== undefined || document["unqualified-search-registries"] !== undefined)
      throw new CfsError("Invalid", "it mixes version 1 ([registries]) and version 2 of the format");
    return parseVersion1(asObject(document.registries, '"registries"'), file);
  } catch (error) {
    throw withContext(`configuration file ${file}`, error);
  }
}

function parseVersion2(document: JsonObject, file: string): RegistriesConf {
  const registries = tables(document, "registry", '"registry"').map((table) => parseRegistry(table, file));
  refuseContradictions(registries);
  return {
    registries,
    searchRegistries: optionalStrings(document, "unqualified-search-registries")?.map((registry) =>
      parseLocation(registry, '"unqualified-search-registries"'),
    ),
    credentialHelpers: optionalStrings(document, "credential-helpers"),
    shortNameMode: optionalChoice(document, "short-name-mode", SHORT_NAME_MODES, "the document") as
      | ShortNameMode
      | undefined,
    aliases: parseAliases(document),
  };
}

/** Three lists of hosts, deprecated since 2019. */
function parseVersion1(lists: JsonObject, file: string): RegistriesConf {
  const list = (name: string): readonly string[] => {
    if (lists[name] === undefined) return [];
    const what = `"registries.${name}"`;
    const found = optionalStrings(asObject(lists[name], what), "registries", what) ?? [];
    return found.map((registry) => parseLocation(registry, what));
  };
  const insecure = new Set(list("insecure"));
  const blocked = new Set(list("block"));
  const registries = [...new Set([...insecure, ...blocked])].map((host) => ({
    prefix: host,
    location: host,
    insecure: insecure.has(host),
    blocked: blocked.has(host),
    mirrors: [],
    file,
  }));
  return {
    registries,
    searchRegistries: list("search"),
    credentialHelpers: undefined,
    shortNameMode: undefined,
    aliases: new Map(),
  };
}

function parseRegistry(table: JsonObject, file: string): RegistryTable {
  const location = optionalLocation(table, "location", '"registry"');
  const given = optionalLocation(table, "prefix", '"registry"');
  const prefix = given ?? location;
  if (prefix === undefined)
    throw new CfsError("Invalid", 'a [[registry]] has neither "location" nor "prefix"');
  const what = `[[registry]] ${prefix}`;
  const wildcard = prefix.startsWith("*.");
  if (prefix.includes("*") && (!wildcard || /[*/:@]/.test(prefix.slice(1))))
    throw new CfsError("Invalid", `${what}: a wildcard must have the form *.DOMAIN`);
  if (location === undefined && !wildcard)
    throw new CfsError("Invalid", `${what}: "location" is missing, which only *.DOMAIN can do without`);
  if (location?.includes("*") && given === undefined)
    throw new CfsError("Invalid", `${what}: a wildcard belongs to "prefix", not to "location"`);
  const digestOnly = optionalBoolean(table, "mirror-by-digest-only", what);
  return {
    prefix,
    location,
    insecure: optionalBoolean(table, "insecure", what),
    blocked: optionalBoolean(table, "blocked", what),
    mirrors: tables(table, "mirror", `${what}: "mirror"`).map((mirror) =>
      parseMirror(mirror, digestOnly, what),
    ),
    file,
  };
}

function parseMirror(table: JsonObject, digestOnly: boolean, registry: string): Mirror {
  const what = `${registry}: [[registry.mirror]]`;
  const location = optionalLocation(table, "location", what);
  if (location === undefined) throw new CfsError("Invalid", `${what}: missing field "location"`);
  const use = optionalChoice(table, "pull-from-mirror", MIRROR_USES, what) as MirrorUse | undefined;
  if (digestOnly && use !== undefined)
    throw new CfsError("Invalid", `${what}: "pull-from-mirror" contradicts "mirror-by-digest-only"`);
  return {
    location,
    insecure: optionalBoolean(table, "insecure", what),
    use: use ?? (digestOnly ? "digest-only" : "all"),
  };
}

/** One place must not be secure by one table and insecure by another. */
function refuseContradictions(registries: readonly RegistryTable[]): void {
  const seen = new Map<string, RegistryTable>();
  for (const table of registries) {
    if (table.location === undefined) continue;
    const earlier = seen.get(table.location);
    seen.set(table.location, table);
    if (earlier === undefined) continue;
    for (const key of ["insecure", "blocked"] as const) {
      if (earlier[key] !== table[key])
        throw new CfsError(
          "Invalid",
          `two [[registry]] tables of location ${table.location} differ in "${key}"`,
        );
    }
  }
}

function parseAliases(document: JsonObject): ReadonlyMap<string, string> {
  const aliases = new Map<string, string>();
  if (document.aliases === undefined) return aliases;
  for (const [name, value] of Object.entries(asObject(document.aliases, '"aliases"'))) {
    if (typeof value !== "string") throw new CfsError("Invalid", `"aliases": "${name}" must be a string`);
    aliases.set(name, value);
  }
  return aliases;
}

/** `HOST[:PORT][/PATH]` without slashes at the end, the host in lower case. @throws CfsError Invalid for URLs */
function parseLocation(text: string, what: string): string {
  const trimmed = text.replace(/\/+$/, "");
  if (/^https?:\/\//.test(trimmed))
    throw new CfsError("Invalid", `${what}: "${text}" must not begin with http:// or https://`);
  if (trimmed === "" || /\s/.test(trimmed))
    throw new CfsError("Invalid", `${what}: "${text}" is no registry`);
  return comparableScope(trimmed);
}

function optionalLocation(table: JsonObject, key: string, what: string): string | undefined {
  const text = optionalString(table, key, what);
  return text === undefined || text === "" ? undefined : parseLocation(text, `${what}: "${key}"`);
}

function optionalChoice(
  table: JsonObject,
  key: string,
  choices: readonly string[],
  what: string,
): string | undefined {
  const value = optionalString(table, key, what);
  if (value === undefined || value === "") return undefined;
  if (!choices.includes(value))
    throw new CfsError("Invalid", `${what}: "${key}" must be ${choices.join(", ")}; it is "${value}"`);
  return value;
}

function optionalBoolean(table: JsonObject, key: string, what: string): boolean {
  const value = table[key];
  if (value === undefined) return false;
  if (typeof value !== "boolean")
    throw new CfsError("Invalid", `${what}: "${key}" must be true or false, without quotes`);
  return value;
}

function optionalStrings(table: JsonObject, key: string, what = "the document"): string[] | undefined {
  const value = table[key];
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.some((item) => typeof item !== "string"))
    throw new CfsError("Invalid", `${what}: "${key}" must be an array of strings`);
  return value;
}

function tables(document: JsonObject, key: string, what: string): JsonObject[] {
  const value = document[key];
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new CfsError("Invalid", `${what} must be written [[${key}]]`);
  if (value.length > MAX_TABLES)
    throw new CfsError("Invalid", `${what}: there are more than ${MAX_TABLES} tables`);
  return value.map((table) => asObject(table, what));
}
