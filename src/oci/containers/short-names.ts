import { CfsError, withContext } from "../../errors.ts";
import { type ImageReference, parseReference, transportOf } from "../reference.ts";
import { beginsWithHost, formatDockerReference, parseDockerReference } from "../registry/reference.ts";
import type { DockerReference } from "../registry/types.ts";
import type { MergedRegistriesConf } from "./registries-conf-files.ts";

/**
 * The images that a name without a transport may mean, in the order in which they are to be tried: the name itself
 * when it begins with a host; else what an alias says; else the name in each of `unqualified-search-registries`.
 * `docker://` references are not to be resolved: they say what they mean.
 * @returns undefined when the text is no name, or means nothing here.
 * @throws CfsError Invalid when the name is ambiguous and `short-name-mode` is `enforcing`, or an alias is no name
 */
export function resolveShortName(
  text: string,
  conf: () => MergedRegistriesConf,
): readonly DockerReference[] | undefined {
  let meant: DockerReference;
  try {
    meant = parseDockerReference(text);
  } catch {
    return undefined;
  }
  if (beginsWithHost(text)) return [meant];
  const { aliases, searchRegistries, shortNameMode } = conf();
  const { name, suffix } = splitSuffix(text);
  const alias = aliases.get(name);
  if (alias !== undefined) return [fromAlias(name, alias, suffix)];
  if (searchRegistries.length === 0) return undefined;
  if (searchRegistries.length > 1 && shortNameMode === "enforcing") {
    throw new CfsError("Invalid", `the short name ${text} may mean an image of several registries`, {
      hint: `write one of ${searchRegistries.map((registry) => `${registry}/${text}`).join(", ")}`,
    });
  }
  return searchRegistries.map((registry) => parseDockerReference(`${registry}/${text}`));
}

/** Tag and digest are no part of what an alias stands for. */
function splitSuffix(text: string): { name: string; suffix: string } {
  const end = text.search(/[:@]/);
  return end < 0 ? { name: text, suffix: "" } : { name: text.slice(0, end), suffix: text.slice(end) };
}

function fromAlias(name: string, alias: string, suffix: string): DockerReference {
  if (!beginsWithHost(alias) || splitSuffix(alias.slice(alias.indexOf("/"))).suffix !== "")
    throw new CfsError("Invalid", `the alias "${name}" = "${alias}" must be HOST/PATH without tag or digest`);
  try {
    return parseDockerReference(alias + suffix);
  } catch (error) {
    throw withContext(`the alias "${name}" = "${alias}"`, error);
  }
}

/**
 * Parses what a user writes for an image: a reference with its transport, or a name as `resolveShortName` takes it.
 * @returns candidates: the first of which the image can be had is meant.
 * @throws CfsError as `parseReference`, and as `resolveShortName`
 */
export function parseImageNames(text: string, conf: () => MergedRegistriesConf): readonly ImageReference[] {
  const names = transportOf(text) === undefined ? resolveShortName(text, conf) : undefined;
  if (names === undefined) return [parseReference(text)];
  return names.map((name) => ({
    transport: "docker",
    name,
    text: `docker://${formatDockerReference(name)}`,
  }));
}
