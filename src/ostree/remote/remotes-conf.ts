import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { CfsError, withContext } from "../../errors.ts";
import { joinKeyrings, type Keyring, readKeyring } from "../../signature/openpgp/keyring.ts";
import { parseKeyFile } from "../local/key-file.ts";
import { type Ed25519Keys, isEd25519Key, parseEd25519Keys } from "../signature/ed25519.ts";
import type { Required, Verification } from "../signature/verification.ts";
import type { RemoteSettings } from "./remote-settings.ts";

/** Where ostree's configuration of the machine is looked for. */
export interface ConfigurationPlaces {
  /** What stands in front of absolute paths such as /etc; empty but in tests. */
  readonly root: string;
  /** A file with remotes, such as the `config` of a repository; it comes first. */
  readonly file?: string | undefined;
}

const REMOTES = "/etc/ostree/remotes.d";
/** The repository of a machine that was set up by ostree: remotes, and keyrings for them. */
const SYSTEM_REPOSITORY = "/ostree/repo";
/** Keys that count for remotes without any of their own. */
const COMMON_KEYRINGS = "/usr/share/ostree/trusted.gpg.d";
const ED25519_PLACES = ["/etc/ostree", "/usr/share/ostree"];
const MAX_FILE_SIZE = 16 * 1024 * 1024;

type Group = ReadonlyMap<string, string>;

/**
 * The settings of a remote, by ostree.repo-config(5) and ostree-remotes.d.
 * @throws CfsError NotFound when there is none of this name, Invalid naming the file, Unsupported
 */
export function configuredRemote(name: string, places: ConfigurationPlaces): RemoteSettings {
  for (const file of configurationFiles(places)) {
    const group = parseKeyFile(readText(file)).get(`remote "${name}"`);
    if (group === undefined) continue;
    try {
      return settingsOf(name, group, file, places);
    } catch (error) {
      throw withContext(`${file}: remote '${name}'`, error);
    }
  }
  throw new CfsError("NotFound", `there is no remote '${name}', nor a directory of this name`, {
    hint: `give the URL of the repository, or define the remote in ${REMOTES}/${name}.conf`,
  });
}

function configurationFiles({ root, file }: ConfigurationPlaces): string[] {
  const directory = join(root, REMOTES);
  const system = filesIn(directory, (name) => name.endsWith(".conf"));
  const repository = join(root, SYSTEM_REPOSITORY, "config");
  return [...(file === undefined ? [] : [file]), ...system, ...(existsSync(repository) ? [repository] : [])];
}

function settingsOf(name: string, group: Group, file: string, places: ConfigurationPlaces): RemoteSettings {
  const url = group.get("url");
  if (url === undefined || url === "") {
    if (group.has("metalink"))
      throw new CfsError("Unsupported", "metalinks are not supported; it needs a url");
    throw new CfsError("Invalid", "it has no url");
  }
  const certPath = group.get("tls-client-cert-path");
  const keyPath = group.get("tls-client-key-path");
  if ((certPath === undefined) !== (keyPath === undefined))
    throw new CfsError("Invalid", "tls-client-cert-path and tls-client-key-path need each other");
  return {
    url,
    contentUrl: group.get("contenturl"),
    proxy: group.get("proxy"),
    tls: {
      permissive: flag(group, "tls-permissive", false),
      caPath: group.get("tls-ca-path"),
      clientCertificate: certPath === undefined || keyPath === undefined ? undefined : { certPath, keyPath },
    },
    verification: verificationOf(name, group, file, places),
  };
}

function verificationOf(
  name: string,
  group: Group,
  file: string,
  { root }: ConfigurationPlaces,
): Verification {
  const required = (suffix: string, gpgDefault: boolean): Required => ({
    gpg: flag(group, `gpg-verify${suffix}`, gpgDefault),
    ed25519: signVerify(group, `sign-verify${suffix}`),
  });
  return {
    commits: required("", true),
    summary: required("-summary", false),
    keyring: () => keyringOf(name, group, file, root),
    ed25519: () => ed25519KeysOf(group, root),
  };
}

function flag(group: Group, key: string, usual: boolean): boolean {
  const value = group.get(key);
  if (value === undefined) return usual;
  if (value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw new CfsError("Invalid", `${key} has to be true or false`);
}

/** True, false, or a list of the kinds of signatures of which one is enough; of these we know `ed25519`. */
function signVerify(group: Group, key: string): boolean {
  const kinds = list(group, key);
  if (kinds.length <= 1 && !(kinds[0] !== undefined && kinds[0] === "ed25519"))
    return flag(group, key, false);
  if (kinds.includes("ed25519")) return true;
  throw new CfsError(
    "Unsupported",
    `${key}: of the signatures besides those of GPG only ed25519 is supported`,
  );
}

function list(group: Group, key: string): string[] {
  const value = group.get(key) ?? "";
  return value
    .split(/[;,]/)
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** The keys of the remote: those that belong to it, or else those for all remotes; and those that it names. */
function keyringOf(name: string, group: Group, file: string, root: string): Keyring {
  const own = [dirname(file), join(root, SYSTEM_REPOSITORY)]
    .map((directory) => join(directory, `${name}.trustedkeys.gpg`))
    .find((path) => existsSync(path));
  const isKeyring = (entry: string) => /\.(gpg|asc)$/.test(entry);
  const files = own === undefined ? filesIn(join(root, COMMON_KEYRINGS), isKeyring) : [own];
  for (const path of list(group, "gpgkeypath")) {
    files.push(...(isDirectory(path) ? filesIn(path, isKeyring) : [path]));
  }
  if (files.length === 0) {
    throw new CfsError("NotFound", `there is no keyring for the remote '${name}'`, {
      hint: `name one with --gpg-keyring or gpgkeypath=; --no-gpg-verify pulls without looking at signatures`,
    });
  }
  return readKeyrings(files);
}

function ed25519KeysOf(group: Group, root: string): Ed25519Keys {
  const named = group.get("verification-ed25519-file");
  const keys = list(group, "verification-ed25519-key");
  for (const key of keys) {
    if (!isEd25519Key(key)) throw new CfsError("Invalid", "verification-ed25519-key is no key in base64");
  }
  const trusted = [...keys, ...(named === undefined ? [] : parseEd25519Keys(readText(named), named))];
  const keysOf = (kind: string) =>
    ED25519_PLACES.flatMap((place) => {
      const one = join(root, place, `${kind}.ed25519`);
      return [...(existsSync(one) ? [one] : []), ...filesIn(`${one}.d`, () => true)];
    }).flatMap((path) => parseEd25519Keys(readText(path), path));
  return { trusted: trusted.length > 0 ? trusted : keysOf("trusted"), revoked: keysOf("revoked") };
}

/** @throws CfsError naming the file */
export function readKeyrings(files: readonly string[]): Keyring {
  return joinKeyrings(files.map((file) => readKeyring(readBytes(file), file)));
}

function filesIn(directory: string, isWanted: (name: string) => boolean): string[] {
  if (!isDirectory(directory)) return [];
  return readdirSync(directory)
    .filter(isWanted)
    .sort()
    .map((name) => join(directory, name));
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

export function readText(file: string): string {
  return Buffer.from(readBytes(file)).toString("utf8");
}

function readBytes(file: string): Uint8Array {
  try {
    const status = statSync(file);
    if (!status.isFile()) throw new CfsError("Invalid", "it is no regular file");
    if (status.size > MAX_FILE_SIZE)
      throw new CfsError("Invalid", `it is larger than ${MAX_FILE_SIZE} bytes`);
    return readFileSync(file);
  } catch (error) {
    const missing = (error as { code?: unknown }).code === "ENOENT";
    throw missing
      ? new CfsError("NotFound", `${file} does not exist`)
      : withContext(`${file} can't be read`, error);
  }
}
