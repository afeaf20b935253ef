import type { DockerReference } from "../registry/types.ts";

/** A scope as it has to be compared with names, whose hosts are in lower case: `Registry.example/a` is `registry.example/a`. */
export function comparableScope(scope: string): string {
  const slash = scope.indexOf("/");
  return slash < 0 ? scope.toLowerCase() : scope.slice(0, slash).toLowerCase() + scope.slice(slash);
}

/** `host/path`, the name of a repository. */
export function repositoryName({ host, path }: Pick<DockerReference, "host" | "path">): string {
  return path === "" ? host : `${host}/${path}`;
}

/** `host/path:tag` or `host/path@digest`; the digest counts when there are both. */
export function fullName(reference: DockerReference): string {
  const { tag, digest } = reference;
  const name = repositoryName(reference);
  if (digest !== undefined) return `${name}@${digest}`;
  return tag === undefined ? name : `${name}:${tag}`;
}

/** `host/a/b`, `host/a`, `host`: a name and what contains it, from specific to general. */
export function nameAndParents(name: string): string[] {
  const names = [name];
  for (let end = name.lastIndexOf("/"); end >= 0; end = name.lastIndexOf("/", end - 1)) {
    names.push(name.slice(0, end));
    if (end === 0) break;
  }
  return names;
}

/**
 * Names under which a configuration may speak of an image of a registry, from specific to general: image with tag or
 * digest, repository, namespaces, host with port, `*.domain` for the domains that the host is part of.
 */
export function scopesOf(reference: DockerReference): string[] {
  const scopes = [fullName(reference), ...nameAndParents(repositoryName(reference))];
  // a port stays in the wildcard, as in *.example.com:5000
  const labels = reference.host.split(".");
  for (let first = 1; first < labels.length; first++) scopes.push(`*.${labels.slice(first).join(".")}`);
  return [...new Set(scopes)];
}
