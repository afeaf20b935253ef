import { join } from "node:path";
import { CfsError, withContext } from "../../errors.ts";
import { asObject, type JsonObject, optionalString } from "../json.ts";
import type { DockerReference } from "../registry/types.ts";
import {
  listConfigurationDirectory,
  type Places,
  readConfigurationText,
  systemPath,
  userPath,
  usualPlaces,
} from "./places.ts";
import { comparableScope, scopesOf } from "./scopes.ts";

/** Where signatures of an image are. */
export interface SignatureStorage {
  /** URL (http, https, file) below which simple signatures are, without a slash at the end. */
  readonly lookaside: string;
  /** Whether signatures are looked for as attachments in the registry. */
  readonly useSigstoreAttachments: boolean;
}

interface Section {
  readonly lookaside?: string;
  readonly useSigstoreAttachments?: boolean;
  /** For messages. */
  readonly file: string;
}

interface RegistriesD {
  byDefault?: Section;
  readonly scopes: Map<string, Section>;
}

/**
 * What containers-registries.d(5) says about the signatures of an image: for each of the two settings, the most
 * specific scope that has it counts, then `default-docker`, then what is built in.
 * @throws CfsError Invalid naming the file and the key
 */
export function signatureStorage(
  reference: DockerReference,
  places: Places = usualPlaces(),
): SignatureStorage {
  const { byDefault, scopes } = readRegistriesD(places);
  const sections = scopesOf(reference).map((scope) => scopes.get(scope));
  sections.push(byDefault);
  const lookaside = sections.find((s) => s?.lookaside !== undefined)?.lookaside;
  const attachments = sections.find((s) => s?.useSigstoreAttachments !== undefined)?.useSigstoreAttachments;
  return {
    lookaside: (lookaside ?? builtInLookaside(places)).replace(/\/+$/, ""),
    useSigstoreAttachments: attachments ?? false,
  };
}

function builtInLookaside({ uid, home, root }: Places): string {
  const directory =
    uid === 0 ? join(root, "/var/lib/containers/sigstore") : join(home, ".local/share/containers/sigstore");
  return Bun.pathToFileURL(directory).href;
}

/** All files of the user's directory if there is one, else of the system's. */
function readRegistriesD(places: Places): RegistriesD {
  const merged: RegistriesD = { scopes: new Map() };
  for (const directory of [userPath(places, "registries.d"), systemPath(places, "registries.d")]) {
    const names = listConfigurationDirectory(directory);
    if (names === undefined) continue;
    for (const name of names) if (name.endsWith(".yaml")) addFile(merged, join(directory, name));
    break;
  }
  return merged;
}

function addFile(merged: RegistriesD, file: string): void {
  const text = readConfigurationText(file);
  if (text === undefined) return;
  let content: unknown;
  try {
    content = Bun.YAML.parse(text);
  } catch (error) {
    throw new CfsError("Invalid", `${file} is not valid YAML`, { cause: error });
  }
  if (content === null || content === undefined) return;
  try {
    addSections(merged, asObject(content, "the document"), file);
  } catch (error) {
    throw withContext(`configuration file ${file}`, error);
  }
}

function addSections(merged: RegistriesD, content: JsonObject, file: string): void {
  const byDefault = content["default-docker"];
  if (byDefault !== undefined && byDefault !== null) {
    if (merged.byDefault !== undefined)
      throw new CfsError("Invalid", `"default-docker" is defined in ${merged.byDefault.file} already`);
    merged.byDefault = parseSection(byDefault, "default-docker", file);
  }
  const docker = content.docker;
  if (docker === undefined || docker === null) return;
  for (const [name, section] of Object.entries(asObject(docker, '"docker"'))) {
    const scope = comparableScope(name);
    const earlier = merged.scopes.get(scope);
    if (earlier !== undefined)
      throw new CfsError("Invalid", `"docker: ${scope}" is defined in ${earlier.file} already`);
    merged.scopes.set(scope, parseSection(section, `docker: ${scope}`, file));
  }
}

function parseSection(value: unknown, key: string, file: string): Section {
  const section = value === null ? {} : asObject(value, `"${key}"`);
  const what = `"${key}"`;
  // "sigstore" is the name that "lookaside" had first
  const url = optionalString(section, "lookaside", what) ?? optionalString(section, "sigstore", what);
  const attachments = section["use-sigstore-attachments"];
  return {
    file,
    ...(url !== undefined && url !== "" && { lookaside: checkedUrl(url, what) }),
    ...(attachments !== undefined &&
      attachments !== null && { useSigstoreAttachments: parseBoolean(attachments, what) }),
  };
}

function checkedUrl(text: string, what: string): string {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:", "file:"].includes(url.protocol))
    throw new CfsError("Invalid", `${what}: "lookaside" must be an http, https or file URL`);
  return text;
}

/** YAML 1.1, in which these files are written, has more spellings than YAML 1.2. */
function parseBoolean(value: unknown, what: string): boolean {
  if (typeof value === "boolean") return value;
  if (typeof value === "string") {
    if (/^(yes|on|y)$/i.test(value)) return true;
    if (/^(no|off|n)$/i.test(value)) return false;
  }
  throw new CfsError("Invalid", `${what}: "use-sigstore-attachments" must be true or false`);
}
