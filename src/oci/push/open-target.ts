import { CfsError, describeError, kindOf } from "../../errors.ts";
import type { RetryListener } from "../../http/retry.ts";
import type { Progress } from "../../progress.ts";
import { checkWritable, type Repository } from "../../repository/repository.ts";
import { openDirectory } from "../../sys/dir.ts";
import type { Fd } from "../../sys/fd.ts";
import { O_DIRECTORY, O_RDONLY, open } from "../../sys/file.ts";
import { loadRegistryConfiguration } from "../containers/configuration.ts";
import { type ImageReference, parseReference, type RegistryReference } from "../reference.ts";
import { openRegistryRepository } from "../registry/client.ts";
import type { RegistryConfiguration } from "../registry/types.ts";
import { ArchiveTarget } from "./archive-target.ts";
import { LayoutTarget } from "./layout-target.ts";
import { mountCandidates } from "./mount-candidates.ts";
import { RegistryTarget } from "./registry-target.ts";
import type { PushTarget } from "./target.ts";

export interface TargetOptions {
  readonly progress: Progress;
  /** What is known about registries; the user's and the system's configuration by default. */
  readonly registries?: RegistryConfiguration;
  /** Told before each pause after a failed request. */
  readonly onRetry?: RetryListener;
  /** Repositories of the registry that may have the layers, besides those that the repository's tags tell of. */
  readonly mountFrom?: readonly string[];
}

const DESTINATIONS = "docker://NAME[:TAG], oci:DIRECTORY[:TAG] and oci-archive:FILE[:TAG] are understood";

/**
 * Opens what an image is to be pushed to.
 * @param text `docker://NAME[:TAG]`, `oci:DIRECTORY[:TAG]` or `oci-archive:FILE[:TAG]`.
 * @throws CfsError Invalid, Unsupported, Permission
 */
export function openTarget(repository: Repository, text: string, options: TargetOptions): PushTarget {
  const reference = parseDestination(text);
  switch (reference.transport) {
    case "oci":
      return new LayoutTarget(reference.path, reference.tag);
    case "oci-archive":
      return new ArchiveTarget(reference.path, reference.tag);
    case "docker":
      return openRegistry(repository, reference, options);
    default:
      throw new CfsError("Unsupported", `images can't be pushed to ${reference.transport}:`, {
        hint: DESTINATIONS,
      });
  }
}

/** Fewer places can be written than read. */
function parseDestination(text: string): ImageReference {
  try {
    return parseReference(text);
  } catch (error) {
    throw new CfsError(kindOf(error) ?? "Invalid", describeError(error), { hint: DESTINATIONS });
  }
}

function openRegistry(
  repository: Repository,
  { name, text }: RegistryReference,
  { progress, registries = loadRegistryConfiguration(), onRetry, mountFrom = [] }: TargetOptions,
): PushTarget {
  const abort = new AbortController();
  const client = openRegistryRepository(name, registries, {
    access: "push",
    signal: abort.signal,
    ...(onRetry !== undefined && { onRetry }),
  });
  const known = mountCandidates(repository, name);
  return new RegistryTarget(client, name, {
    label: text,
    temporaryDirectory: temporaryDirectory(repository),
    progress,
    abort,
    mountFrom: (digest) => new Set([...mountFrom, ...(known.get(digest) ?? [])]),
  });
}

/** The repository has most likely the room for its own layers; one that can only be read can still be pushed. */
function temporaryDirectory(repository: Repository): Fd {
  try {
    checkWritable(repository.dir);
    return openDirectory(repository.dir.fd, ".", repository.path);
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return open(process.env.TMPDIR || "/var/tmp", O_RDONLY | O_DIRECTORY);
  }
}
