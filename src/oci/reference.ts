import { CfsError } from "../errors.ts";
import { formatDockerReference, parseDockerReference } from "./registry/reference.ts";
import type { DockerReference } from "./registry/types.ts";

interface Common {
  /** As the user wrote it. */
  readonly text: string;
}

/** A repository of a registry. */
export interface RegistryReference extends Common {
  readonly transport: "docker";
  readonly name: DockerReference;
}

/** An OCI layout, as a directory or as a tar archive. */
export interface LayoutReference extends Common {
  readonly transport: "oci" | "oci-archive";
  readonly path: string;
  readonly tag: string | undefined;
}

/** One image of what `docker save` writes. */
export interface DockerArchiveReference extends Common {
  readonly transport: "docker-archive";
  readonly path: string;
  /** `HOST/PATH:TAG` of a tag in the archive, or the place in its list of images. */
  readonly image: string | number | undefined;
}

/** A directory with the blobs of one image. */
export interface DirectoryReference extends Common {
  readonly transport: "dir";
  readonly path: string;
}

/** An image of a docker daemon. */
export interface DaemonReference extends Common {
  readonly transport: "docker-daemon";
  /** `HOST/PATH:TAG`, or the image's ID, `sha256:…`. */
  readonly image: string;
}

/** What references of each transport say. */
export interface ReferencesByTransport {
  readonly docker: RegistryReference;
  readonly oci: LayoutReference;
  readonly "oci-archive": LayoutReference;
  readonly "docker-archive": DockerArchiveReference;
  readonly dir: DirectoryReference;
  readonly "docker-daemon": DaemonReference;
}

export type Transport = keyof ReferencesByTransport;

/** Where an image is to be pulled from (containers-transports(5)). */
export type ImageReference = ReferencesByTransport[Transport];

const SYNTAX: Readonly<Record<Transport, string>> = {
  docker: "docker://NAME[:TAG][@DIGEST]",
  oci: "oci:DIRECTORY[:TAG]",
  "oci-archive": "oci-archive:FILE[:TAG]",
  "docker-archive": "docker-archive:FILE[:NAME:TAG|:@INDEX]",
  dir: "dir:DIRECTORY",
  "docker-daemon": "docker-daemon:NAME[:TAG]",
};

/** For messages and help: what references look like. */
export const REFERENCE_FORMS: readonly string[] = Object.values(SYNTAX);

/** How what follows `TRANSPORT:` is read. */
const PARSERS: Readonly<Record<string, (rest: string, text: string) => ImageReference>> = {
  docker: parseDocker,
  registry: (rest, text) => ({
    transport: "docker",
    name: parseDockerReference(rest.replace(/^\/\//, "")),
    text,
  }),
  oci: (rest, text) => parseLayout("oci", rest, text),
  "oci-archive": (rest, text) => parseLayout("oci-archive", rest, text),
  "docker-archive": parseDockerArchive,
  dir: (rest, text) => ({ transport: "dir", path: notEmpty("dir", rest), text }),
  "docker-daemon": parseDaemon,
  "containers-storage": refuseStorage,
};

/**
 * Parses `TRANSPORT:…` (containers-transports(5)).
 * @throws CfsError Invalid for what is no reference, Unsupported for transports that can't be read.
 */
export function parseReference(text: string): ImageReference {
  const colon = text.indexOf(":");
  if (colon < 0) throw invalid(`Missing ':' in ${text}`);
  const transport = text.slice(0, colon);
  if (!Object.hasOwn(PARSERS, transport)) throw invalid(`Invalid transport: ${transport}`);
  return PARSERS[transport]!(text.slice(colon + 1), text);
}

/** The transport that a text begins with, if it is one that we know. */
export function transportOf(text: string): string | undefined {
  const colon = text.indexOf(":");
  const transport = text.slice(0, Math.max(colon, 0));
  return Object.hasOwn(PARSERS, transport) ? transport : undefined;
}

function invalid(message: string, hint = `expected ${REFERENCE_FORMS.join(", ")}`): CfsError {
  return new CfsError("Invalid", message, { hint });
}

function notEmpty(transport: string, name: string): string {
  if (name === "") throw invalid(`Invalid empty name in ${transport}:`);
  return name;
}

function parseDocker(rest: string, text: string): RegistryReference {
  if (!rest.startsWith("//")) throw invalid(`Missing // in docker:// in ${text}`);
  return { transport: "docker", name: parseDockerReference(rest.slice(2)), text };
}

/** The text behind the last colon is the tag unless it holds a slash. */
function parseLayout(transport: "oci" | "oci-archive", rest: string, text: string): LayoutReference {
  const last = rest.lastIndexOf(":");
  const hasTag = last >= 0 && !rest.slice(last + 1).includes("/");
  const tag = hasTag ? rest.slice(last + 1) : "";
  const path = notEmpty(transport, hasTag ? rest.slice(0, last) : rest);
  return { transport, path, tag: tag === "" ? undefined : tag, text };
}

/** The path ends at the first colon. */
function parseDockerArchive(rest: string, text: string): DockerArchiveReference {
  const transport = "docker-archive";
  const colon = rest.indexOf(":");
  const path = notEmpty(transport, colon < 0 ? rest : rest.slice(0, colon));
  const image = colon < 0 ? "" : rest.slice(colon + 1);
  if (image === "") return { transport, path, image: undefined, text };
  if (!image.startsWith("@")) return { transport, path, image: fullName(image), text };
  const index = image.slice(1);
  if (!/^[0-9]{1,9}$/.test(index)) {
    throw invalid(`Invalid source index @${index} in ${text}`, "it is the place in the archive, from 0 on");
  }
  return { transport, path, image: Number(index), text };
}

/** Whether a docker daemon knows an image by this text without it being a name; `busybox:1` is a name. */
export function isImageId(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

function parseDaemon(rest: string, text: string): DaemonReference {
  const name = notEmpty("docker-daemon", rest);
  return { transport: "docker-daemon", image: isImageId(name) ? name : fullName(name), text };
}

/** `docker.io/library/NAME:latest` for `NAME`. @throws CfsError Invalid */
function fullName(name: string): string {
  return formatDockerReference(parseDockerReference(name));
}

function refuseStorage(_: string, text: string): never {
  throw new CfsError("Unsupported", `${text}: images of containers-storage: can't be read directly`, {
    hint: "export the image first: `podman save --format oci-archive -o FILE IMAGE`, then pull oci-archive:FILE",
  });
}
