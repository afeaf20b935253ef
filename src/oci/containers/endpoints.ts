import { CfsError, withContext } from "../../errors.ts";
import { beginsWithHost, parseDockerReference } from "../registry/reference.ts";
import type { DockerReference, Endpoint, RegistryAccess } from "../registry/types.ts";
import type { Mirror, RegistryTable } from "./registries-conf.ts";
import type { MergedRegistriesConf } from "./registries-conf-files.ts";
import { fullName } from "./scopes.ts";

/**
 * Where an image can be had, in the order in which the places are to be tried: mirrors, then the registry itself. Names
 * are not rewritten to push: the tables speak of reading only, but for `insecure` and `blocked`.
 * @throws CfsError Permission when the registry is blocked, Invalid when a rewritten name is none
 */
export function endpointsOf(
  reference: DockerReference,
  conf: MergedRegistriesConf,
  access: RegistryAccess = "pull",
): readonly Endpoint[] {
  const name = fullName(reference);
  const { table, matched } = findRegistry(name, conf) ?? {};
  if (table === undefined || matched === undefined)
    return [{ host: reference.host, path: reference.path, insecure: false }];
  if (table.blocked) {
    throw new CfsError("Permission", `registry ${table.prefix} is blocked in ${table.file}`, {
      data: { file: table.file, registry: table.prefix },
    });
  }
  if (access === "push") return [{ host: reference.host, path: reference.path, insecure: table.insecure }];
  const rest = name.slice(matched);
  const isDigest = reference.digest !== undefined;
  const places: Pick<Mirror, "location" | "insecure">[] = table.mirrors.filter(
    ({ use }) => use === "all" || (use === "digest-only") === isDigest,
  );
  const own = table.location ?? name.slice(0, matched);
  places.push({ location: own, insecure: table.insecure });
  return places.map(({ location, insecure }) => ({
    ...repositoryAt(location + rest, reference, table),
    insecure,
  }));
}

/** The table with the longest prefix that the name begins with, and how many characters of the name that is. */
function findRegistry(
  name: string,
  { registries }: MergedRegistriesConf,
): { table: RegistryTable; matched: number } | undefined {
  let best: { table: RegistryTable; matched: number } | undefined;
  for (const table of registries.values()) {
    if (best !== undefined && !goesBefore(table.prefix, best.table.prefix)) continue;
    const matched = matchLength(name, table.prefix);
    if (matched !== undefined) best = { table, matched };
  }
  return best;
}

/** Longer prefixes go first; of two that are as long, the one that other tools read first, in the order of bytes. */
function goesBefore(prefix: string, other: string): boolean {
  return prefix.length === other.length ? prefix < other : prefix.length > other.length;
}

/** How many characters at the beginning of a name a prefix stands for; undefined when it does not match. */
function matchLength(name: string, prefix: string): number | undefined {
  if (prefix.startsWith("*.")) {
    const host = /^[^/:@]*/.exec(name)![0];
    const domain = prefix.slice(1);
    return host.length > domain.length && host.endsWith(domain) ? host.length : undefined;
  }
  if (!name.startsWith(prefix)) return undefined;
  const next = name[prefix.length];
  return next === undefined || next === "/" || next === ":" || next === "@" ? prefix.length : undefined;
}

/** Host and path of a rewritten name. Only they may differ from what was asked for. */
function repositoryAt(
  name: string,
  reference: DockerReference,
  table: RegistryTable,
): Pick<Endpoint, "host" | "path"> {
  const what = `[[registry]] ${table.prefix} in ${table.file} turns ${fullName(reference)} into ${name}`;
  let rewritten: DockerReference;
  try {
    rewritten = parseDockerReference(name);
  } catch (error) {
    throw withContext(what, error);
  }
  const { host, path, tag, digest } = rewritten;
  if (!beginsWithHost(name))
    throw new CfsError("Invalid", `${what}: a location must begin with a host that has a dot or a port`);
  const same = reference.digest === undefined ? tag === reference.tag : digest === reference.digest;
  if (!same) throw new CfsError("Invalid", `${what}: it must not change tag or digest`);
  return { host, path };
}
