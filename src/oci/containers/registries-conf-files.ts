import { existsSync } from "node:fs";
import { join } from "node:path";
import { CfsError } from "../../errors.ts";
import {
  listConfigurationDirectory,
  type Places,
  readConfigurationText,
  systemPath,
  userPath,
  variable,
} from "./places.ts";
import {
  parseRegistriesConf,
  type RegistriesConf,
  type RegistryTable,
  type ShortNameMode,
} from "./registries-conf.ts";

/** What all files together say. */
export interface MergedRegistriesConf {
  /** By prefix. */
  readonly registries: ReadonlyMap<string, RegistryTable>;
  readonly searchRegistries: readonly string[];
  readonly credentialHelpers: readonly string[];
  readonly shortNameMode: ShortNameMode;
  readonly aliases: ReadonlyMap<string, string>;
}

/** Stands for the files of containers-auth.json(5) in `credential-helpers`. */
export const AUTH_FILES_HELPER = "containers-auth.json";

/**
 * Reads the main file, then drop-in files in the order of their names (containers-registries.conf.d(5)): what a later
 * one says replaces what was said before, a table for a prefix as a whole. Names that other tools recorded for short
 * names come last.
 * @throws CfsError Invalid naming the file
 */
export function readRegistriesConf(places: Places): MergedRegistriesConf {
  const merger = new Merger();
  const { main, required, directories } = whichFiles(places);
  if (!merger.addFile(main, true) && required)
    throw new CfsError("NotFound", `${main}, which CONTAINERS_REGISTRIES_CONF names, does not exist`);
  for (const directory of directories) {
    for (const name of listConfigurationDirectory(directory) ?? [])
      if (name.endsWith(".conf")) merger.addFile(join(directory, name), false);
  }
  merger.addFile(recordedAliases(places), false);
  return merger.result();
}

/** The user's file makes the system's count for nothing, drop-in files included. */
function whichFiles(places: Places): { main: string; required: boolean; directories: readonly string[] } {
  const named = variable(places, "CONTAINERS_REGISTRIES_CONF");
  const userFile = userPath(places, "registries.conf");
  const userDirectory = userPath(places, "registries.conf.d");
  if (named === undefined && existsSync(userFile))
    return { main: userFile, required: false, directories: [userDirectory] };
  return {
    main: named ?? systemPath(places, "registries.conf"),
    required: named !== undefined,
    directories: [systemPath(places, "registries.conf.d"), userDirectory],
  };
}

function recordedAliases({ uid, home, root }: Places): string {
  const cache = uid === 0 ? join(root, "/var/cache/containers") : join(home, ".cache/containers");
  return join(cache, "short-name-aliases.conf");
}

class Merger {
  readonly #registries = new Map<string, RegistryTable>();
  readonly #aliases = new Map<string, string>();
  #searchRegistries: readonly string[] = [];
  #credentialHelpers: readonly string[] = [];
  #shortNameMode: ShortNameMode = "permissive";

  /** @returns whether the file exists. */
  addFile(file: string, main: boolean): boolean {
    const text = readConfigurationText(file);
    if (text !== undefined) this.#add(parseRegistriesConf(text, file, main));
    return text !== undefined;
  }

  #add(said: RegistriesConf): void {
    for (const table of said.registries) this.#registries.set(table.prefix, table);
    for (const [name, value] of said.aliases) {
      if (value === "") this.#aliases.delete(name);
      else this.#aliases.set(name, value);
    }
    this.#searchRegistries = said.searchRegistries ?? this.#searchRegistries;
    this.#credentialHelpers = said.credentialHelpers ?? this.#credentialHelpers;
    this.#shortNameMode = said.shortNameMode ?? this.#shortNameMode;
  }

  result(): MergedRegistriesConf {
    return {
      registries: this.#registries,
      searchRegistries: this.#searchRegistries,
      credentialHelpers: this.#credentialHelpers.length > 0 ? this.#credentialHelpers : [AUTH_FILES_HELPER],
      shortNameMode: this.#shortNameMode,
      aliases: this.#aliases,
    };
  }
}
