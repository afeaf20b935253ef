import { CfsError, withContext } from "../../errors.ts";
import { asObject, type JsonObject, optionalString, parseJsonObject, stringMap } from "../json.ts";
import type { Credentials } from "../registry/types.ts";
import { readConfigurationFile } from "./places.ts";
import { nameAndParents, repositoryName } from "./scopes.ts";

/** What an auth file (containers-auth.json(5), Docker's config.json) has for a repository. */
export interface AuthFileEntry {
  readonly credentials?: Credentials;
  /** The program that must be asked for this registry. */
  readonly helper?: string;
  /** The program that Docker would ask for every registry. */
  readonly store?: string;
}

const MAX_ENTRIES = 10_000;
const DOCKER_HUB = new Set(["docker.io", "registry-1.docker.io", "index.docker.io"]);

/**
 * Looks a repository up in a file.
 * @param plain whether the file is one of the oldest form, `~/.dockercfg`: an object of hosts.
 * @returns undefined when there is no such file.
 * @throws CfsError Invalid naming file and field, without what the field holds
 */
export function readAuthFile(
  file: string,
  host: string,
  path: string,
  plain = false,
): AuthFileEntry | undefined {
  const bytes = readConfigurationFile(file);
  if (bytes === undefined) return undefined;
  try {
    const content = parse(bytes);
    return plain ? lookUpPlain(content, host, file) : lookUp(content, host, path, file);
  } catch (error) {
    throw withContext(`credentials file ${file}`, error);
  }
}

/** The parser's own message could quote a secret. */
function parse(bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(bytes, "content");
  } catch {
    throw new CfsError("Invalid", "it is not a JSON object");
  }
}

function lookUp(content: JsonObject, host: string, path: string, file: string): AuthFileEntry {
  const helpers = stringMap(content, "credHelpers", "the document");
  const helper = hostNames(host)
    .map((name) => helpers.get(name))
    .find((name) => name !== undefined && name !== "");
  if (helper !== undefined) return { helper };
  const auths = entries(content.auths ?? {}, '"auths"');
  const keys = nameAndParents(repositoryName({ host, path }));
  const key = keys.find((k) => Object.hasOwn(auths, k)) ?? keyOfUrl(Object.keys(auths), host, false);
  const credentials = key === undefined ? undefined : decodeEntry(auths[key], `"auths": "${key}"`, file);
  const store = optionalString(content, "credsStore", "the document");
  return {
    ...(credentials !== undefined && { credentials }),
    ...(store !== undefined && store !== "" && { store }),
  };
}

function lookUpPlain(content: JsonObject, host: string, file: string): AuthFileEntry {
  const auths = entries(content, "the document");
  const key = Object.hasOwn(auths, host) ? host : keyOfUrl(Object.keys(auths), host, true);
  const credentials = key === undefined ? undefined : decodeEntry(auths[key], `"${key}"`, file);
  return credentials === undefined ? {} : { credentials };
}

/** Names by which files and helpers call a registry. */
export function hostNames(host: string): readonly string[] {
  return DOCKER_HUB.has(host) ? [host, "index.docker.io", "https://index.docker.io/v1/"] : [host];
}

function entries(value: unknown, what: string): JsonObject {
  const object = asObject(value, what);
  if (Object.keys(object).length > MAX_ENTRIES)
    throw new CfsError("Invalid", `${what} has more than ${MAX_ENTRIES} entries`);
  return object;
}

/** The key that is a URL of the registry, as Docker wrote it: `https://HOST/v1/`, for the Hub under another name. */
function keyOfUrl(keys: readonly string[], host: string, plain: boolean): string | undefined {
  const wanted = DOCKER_HUB.has(host) ? "index.docker.io" : host;
  return keys.find((key) => {
    const stripped = key.replace(/^https?:\/\//, "");
    const name = plain || stripped !== key ? stripped.split("/", 1)[0]! : stripped;
    return (DOCKER_HUB.has(name) ? "index.docker.io" : name) === wanted;
  });
}

/** `{"auth": base64 of USER:PASSWORD, "identitytoken"}`; undefined for an entry that holds nothing. */
function decodeEntry(value: unknown, what: string, source: string): Credentials | undefined {
  const entry = asObject(value, what);
  const identityToken = optionalString(entry, "identitytoken", what);
  if (identityToken !== undefined && identityToken !== "") return { identityToken, source };
  const auth = optionalString(entry, "auth", what);
  if (auth === undefined || auth === "") return undefined;
  const decoded = decodeBase64(auth);
  const colon = decoded?.indexOf(":") ?? -1;
  if (decoded === undefined || colon < 0)
    throw new CfsError("Invalid", `${what}: "auth" is not USER:PASSWORD in base64`);
  const username = decoded.slice(0, colon);
  // Docker pads passwords with NUL bytes
  const password = decoded.slice(colon + 1).replace(/^\0+|\0+$/g, "");
  return { username, password, source };
}

function decodeBase64(text: string): string | undefined {
  const compact = text.replace(/[\r\n]/g, "");
  if (compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) return undefined;
  return Buffer.from(compact, "base64").toString("utf8");
}
