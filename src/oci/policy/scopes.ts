import { realpathSync } from "node:fs";
import { dirname, normalize, resolve } from "node:path";
import { CfsError } from "../../errors.ts";
import { fullName, nameAndParents, repositoryName } from "../containers/scopes.ts";
import { type ImageReference, isImageId } from "../reference.ts";
import { parseDockerReference } from "../registry/reference.ts";
import type { DockerReference } from "../registry/types.ts";
import type { Policy, Requirement } from "./requirements.ts";

/** Transports whose scopes are absolute paths. */
const PATHS: ReadonlySet<string> = new Set(["dir", "oci", "oci-archive"]);

/**
 * Refuses scopes that could never match (containers-policy.json(5)): who wrote them meant something else.
 * @throws CfsError Invalid
 */
export function checkScope(transport: string, scope: string): void {
  const refuse = (why: string) => new CfsError("Invalid", `"${transport}": the scope "${scope}" ${why}`);
  if (scope === "") return;
  if (transport === "docker-archive") throw refuse("is not possible; only the empty one is");
  if (transport === "docker-daemon" && isImageId(scope))
    throw refuse("is an ID, for which there are no scopes");
  if (!PATHS.has(transport)) return;
  if (!scope.startsWith("/")) throw refuse("must be an absolute path");
  if (scope === "/") throw refuse('must be written as ""');
  if (normalize(scope) !== scope || scope.endsWith("/")) throw refuse("is not a path in its shortest form");
}

/** What applies to an image: the requirements of the most specific scope, and where the policy has them. */
export interface Applicable {
  readonly requirements: readonly Requirement[];
  /** For messages: `default`, `docker scope "host/path"`. */
  readonly where: string;
}

export function applicableTo(policy: Policy, reference: ImageReference): Applicable {
  const { transport } = reference;
  const scopes = policy.transports.get(transport);
  for (const scope of scopes === undefined ? [] : scopesOf(reference)) {
    const requirements = scopes?.get(scope);
    if (requirements !== undefined) return { requirements, where: `${transport} scope "${scope}"` };
  }
  return { requirements: policy.default, where: "default" };
}

/** Names under which a policy may speak of an image, from specific to general. */
export function scopesOf(reference: ImageReference): string[] {
  switch (reference.transport) {
    case "docker":
      return [...scopesOfName(reference.name), ""];
    case "docker-daemon":
      return isImageId(reference.image) ? [""] : [...scopesOfName(parseDockerReference(reference.image)), ""];
    case "docker-archive":
      return [""];
    case "dir": {
      const path = realPath(reference.path);
      return [...pathAndParents(path), ""];
    }
    default: {
      const path = realPath(reference.path);
      return [`${path}:${reference.tag ?? ""}`, ...pathAndParents(path), ""];
    }
  }
}

/** Image, repository, namespaces, host, and `*.DOMAIN` for the domains that the host is part of, without its port. */
function scopesOfName(name: DockerReference): string[] {
  const labels = name.host.replace(/:[0-9]+$/, "").split(".");
  const byTag =
    name.digest !== undefined && name.tag !== undefined ? [fullName({ ...name, digest: undefined })] : [];
  return [
    fullName(name),
    ...byTag,
    ...nameAndParents(repositoryName(name)),
    ...labels.slice(1).map((_, i) => `*.${labels.slice(i + 1).join(".")}`),
  ];
}

function realPath(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch {
    // Opening it will say what is wrong with the path.
    return absolute;
  }
}

function pathAndParents(path: string): string[] {
  const paths: string[] = [];
  for (let current = path; current !== "/"; current = dirname(current)) paths.push(current);
  return paths;
}
