import { repositoryName } from "../containers/scopes.ts";
import type { OciDigest } from "../digest.ts";
import { parseDockerReference } from "../registry/reference.ts";
import type { DockerReference } from "../registry/types.ts";

/** The name of an image, in full, but without a tag that nobody has written. */
export interface ImageName {
  /** `HOST/PATH` */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: OciDigest | undefined;
}

/** @throws CfsError Invalid */
export function parseImageName(text: string): ImageName {
  const reference = parseDockerReference(text);
  const [named] = text.split("@", 1);
  const hasTag = named!.slice(named!.lastIndexOf("/") + 1).includes(":");
  return { ...nameOf(reference), tag: hasTag ? reference.tag : undefined };
}

export function nameOf(reference: DockerReference): ImageName {
  return { repository: repositoryName(reference), tag: reference.tag, digest: reference.digest };
}

export function formatImageName({ repository, tag, digest }: ImageName): string {
  return `${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}
