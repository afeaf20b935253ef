import { CfsError } from "../../errors.ts";
import { digestAlgorithm, isDigest, isSupportedAlgorithm, type OciDigest } from "../digest.ts";
import type { DockerReference } from "./types.ts";

/** The registry that is meant when none is named. */
export const DEFAULT_HOST = "docker.io";

/** Another name of it. */
const DEFAULT_HOST_ALIAS = "index.docker.io";

/** Where its images lie whose name has no slash. */
const OFFICIAL_IMAGES = "library";

/** Longest name that registries accept (distribution specification, "Pulling manifests"). */
const MAX_NAME_LENGTH = 255;

const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::([0-9]{1,5}))?$/;

/**
 * Parses `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`. The first part is a host if it has a dot or a colon or is `localhost`.
 * Without tag and digest, `latest` is meant; with both, the digest decides.
 * @throws CfsError Invalid
 */
export function parseDockerReference(text: string): DockerReference {
  const { host, rest } = splitHost(text);
  const at = rest.indexOf("@");
  const named = at < 0 ? rest : rest.slice(0, at);
  const digest = at < 0 ? undefined : checkDigest(rest.slice(at + 1), text);
  const colon = named.indexOf(":");
  const path = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  checkPath(path, host, text);
  if (tag !== undefined && !TAG.test(tag)) {
    throw invalid(text, `'${tag}' is no tag`, "tags have up to 128 letters, digits, '_', '.' and '-'");
  }
  const official = host === DEFAULT_HOST && !path.includes("/");
  return {
    host,
    path: official ? `${OFFICIAL_IMAGES}/${path}` : path,
    tag: tag ?? (digest === undefined ? "latest" : undefined),
    digest,
  };
}

/** The whole reference, with host and tag: `docker.io/library/alpine:latest`. */
export function formatDockerReference({ host, path, tag, digest }: DockerReference): string {
  return `${host}/${path}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** What a registry is asked for: the digest, or else the tag. */
export function wantedManifest({ tag, digest }: DockerReference): string {
  return digest ?? tag ?? "latest";
}

/** Whether a name begins with a host; else the default one is meant. */
export function beginsWithHost(text: string): boolean {
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  return /[.:]/.test(first) || first === "localhost";
}

function splitHost(text: string): { host: string; rest: string } {
  if (!beginsWithHost(text)) return { host: DEFAULT_HOST, rest: text };
  const slash = text.indexOf("/");
  const first = text.slice(0, slash);
  const parts = HOST.exec(first);
  if (parts === null || Number(parts[1] ?? 0) > 65535) throw invalid(text, `'${first}' is no host`);
  const host = first.toLowerCase();
  return { host: host === DEFAULT_HOST_ALIAS ? DEFAULT_HOST : host, rest: text.slice(slash + 1) };
}

function checkPath(path: string, host: string, text: string): void {
  if (path === "") throw invalid(text, "the name of the repository is missing");
  if (/[A-Z]/.test(path)) {
    throw invalid(text, "repository name must be lowercase", "write the name in lower case");
  }
  for (const component of path.split("/")) {
    if (!PATH_COMPONENT.test(component)) {
      throw invalid(
        text,
        `'${component}' can't be a part of a name`,
        "names have lower case letters and digits, separated by '.', '_', '__' or '-'",
      );
    }
  }
  if (`${host}/${path}`.length > MAX_NAME_LENGTH)
    throw invalid(text, `the name is longer than ${MAX_NAME_LENGTH} characters`);
}

function checkDigest(digest: string, text: string): OciDigest {
  if (!isDigest(digest)) throw invalid(text, `'${digest}' is no digest`);
  const algorithm = digestAlgorithm(digest);
  if (!isSupportedAlgorithm(algorithm)) throw invalid(text, `digests of ${algorithm} can't be verified`);
  return digest;
}

function invalid(text: string, why: string, hint?: string): CfsError {
  return new CfsError(
    "Invalid",
    `invalid reference format: ${text}: ${why}`,
    hint === undefined ? {} : { hint },
  );
}
