import { CfsError } from "../errors.ts";

/** Where an image is to be pulled from. */
export interface ImageReference {
  readonly transport: "oci" | "oci-archive";
  /** Directory or file. */
  readonly path: string;
  readonly tag: string | undefined;
  /** As the user wrote it. */
  readonly text: string;
}

const SUPPORTED = "oci:DIRECTORY[:TAG] and oci-archive:FILE[:TAG] are supported";
/** Transports of containers-transports(5) that are known by name only. */
const KNOWN = ["docker", "registry", "docker-archive", "docker-daemon", "dir", "containers-storage"];

/**
 * Parses `TRANSPORT:…` (containers-transports(5)). The text behind the last colon is the tag unless it holds a slash.
 * @throws CfsError Invalid for what is no reference, Unsupported for transports that can't be read.
 */
export function parseReference(text: string): ImageReference {
  const colon = text.indexOf(":");
  if (colon < 0) throw new CfsError("Invalid", `Missing ':' in ${text}`, { hint: SUPPORTED });
  const transport = text.slice(0, colon);
  if (transport !== "oci" && transport !== "oci-archive") {
    if (KNOWN.includes(transport))
      throw new CfsError("Unsupported", `the transport ${transport}: is not supported`, { hint: SUPPORTED });
    throw new CfsError("Invalid", `Invalid transport: ${transport}`, { hint: SUPPORTED });
  }
  const rest = text.slice(colon + 1);
  const last = rest.lastIndexOf(":");
  const hasTag = last >= 0 && !rest.slice(last + 1).includes("/");
  const path = hasTag ? rest.slice(0, last) : rest;
  const tag = hasTag ? rest.slice(last + 1) : undefined;
  if (path === "") throw new CfsError("Invalid", `Invalid empty name in ${transport}:`, { hint: SUPPORTED });
  return { transport, path, tag: tag === "" ? undefined : tag, text };
}
