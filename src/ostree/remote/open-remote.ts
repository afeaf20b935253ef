import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { CfsError } from "../../errors.ts";
import { LocalRepository } from "../local/repository.ts";
import { isEd25519Key, parseEd25519Keys } from "../signature/ed25519.ts";
import { isRequired, NO_VERIFICATION, type Verification } from "../signature/verification.ts";
import { VerifiedSource } from "../signature/verified-source.ts";
import type { OstreeSource } from "../source.ts";
import { type RemoteOptions, RemoteRepository } from "./remote-repository.ts";
import type { RemoteSettings } from "./remote-settings.ts";
import { type ConfigurationPlaces, configuredRemote, readKeyrings, readText } from "./remotes-conf.ts";

/** What the user says about signatures, which goes before what is configured. */
export interface TrustOptions {
  /** Commits have to be signed with a key of one of these files. */
  readonly gpgKeyrings?: readonly string[];
  /** The same for ed25519: keys in base64, or files with such keys. */
  readonly ed25519Keys?: readonly string[];
  /** OpenPGP signatures don't matter, whatever is configured. */
  readonly noGpgVerify?: boolean;
}

/**
 * How a repository is reached that the user names by a URL, by a path, or by the name of a configured remote.
 * @throws CfsError NotFound, Invalid, Unsupported
 */
export function findRemote(name: string, places: ConfigurationPlaces, trust: TrustOptions): RemoteSettings {
  const settings =
    isUrl(name) || name.includes("/") || (isDirectory(name) && places.file === undefined)
      ? { url: name, tls: { permissive: false }, verification: NO_VERIFICATION }
      : configuredRemote(name, places);
  return { ...settings, verification: withTrust(settings.verification, trust) };
}

/** A repository to pull from. */
export interface OpenRemote {
  /** Gives only what is signed as it has to be. */
  readonly source: OstreeSource;
  /** Undefined for a repository on this machine. */
  readonly remote: RemoteRepository | undefined;
}

/** Opens what `findRemote` has found. Closing the source closes it. */
export async function openRemote(settings: RemoteSettings, options: RemoteOptions): Promise<OpenRemote> {
  const path = localPath(settings.url);
  const remote = path === undefined ? await RemoteRepository.open(settings, options) : undefined;
  const unchecked = remote ?? LocalRepository.open(path!);
  const { verification } = settings;
  const source = isRequired(verification.commits) ? new VerifiedSource(unchecked, verification) : unchecked;
  return { source, remote };
}

/** A source of which only commits are taken that are signed with one of the given keys, if there are any. */
export function verifiedSource(source: OstreeSource, trust: TrustOptions): OstreeSource {
  const verification = withTrust(NO_VERIFICATION, trust);
  return isRequired(verification.commits) ? new VerifiedSource(source, verification) : source;
}

/** The path that a URL of a repository on this machine stands for; undefined when it is elsewhere. */
export function localPath(text: string): string | undefined {
  if (/^(mirrorlist=|https?:)/i.test(text)) return undefined;
  if (!isUrl(text)) return text;
  const url = URL.parse(text);
  if (url?.protocol !== "file:")
    throw new CfsError("Unsupported", `'${url?.protocol ?? text}' URLs can't be pulled from`, {
      hint: "use http, https, file, or a path",
    });
  try {
    return fileURLToPath(url);
  } catch {
    throw new CfsError("Invalid", `'${text}' does not name a directory of this machine`);
  }
}

function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) || text.startsWith("mirrorlist=");
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function withTrust(verification: Verification, trust: TrustOptions): Verification {
  const { gpgKeyrings = [], ed25519Keys = [], noGpgVerify = false } = trust;
  let { commits, summary, keyring, ed25519 } = verification;
  if (gpgKeyrings.length > 0) {
    commits = { ...commits, gpg: true };
    keyring = () => readKeyrings(gpgKeyrings);
  }
  if (ed25519Keys.length > 0) {
    const trusted = ed25519Keys.flatMap((key) =>
      isEd25519Key(key) ? [key] : parseEd25519Keys(readText(key), key),
    );
    const { revoked } = ed25519();
    commits = { ...commits, ed25519: true };
    ed25519 = () => ({ trusted, revoked });
  }
  if (noGpgVerify) {
    commits = { ...commits, gpg: false };
    summary = { ...summary, gpg: false };
  }
  return { commits, summary, keyring, ed25519 };
}
