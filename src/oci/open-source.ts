import type { RetryListener } from "../http/retry.ts";
import { loadRegistryConfiguration } from "./containers/configuration.ts";
import type { OciDigest } from "./digest.ts";
import { hostPlatform, type Platform } from "./platform.ts";
import { imagePolicy } from "./policy/policy.ts";
import { verifiedSource } from "./policy/verified-source.ts";
import type { ImageReference, ReferencesByTransport, Transport } from "./reference.ts";
import { openRegistryRepository } from "./registry/client.ts";
import { RegistrySource } from "./registry/source.ts";
import type { RegistryConfiguration } from "./registry/types.ts";
import type { Selection } from "./select.ts";
import type { ImageSource } from "./source.ts";
import { DirectorySource } from "./transport/directory.ts";
import { openDockerArchive } from "./transport/docker-archive.ts";
import { openDockerDaemon } from "./transport/docker-daemon.ts";
import { LayoutDirectory, LayoutSource } from "./transport/layout.ts";
import { LayoutArchive } from "./transport/layout-archive.ts";

export interface SourceOptions {
  /** For which an image is wanted; that of this machine by default. */
  readonly platform?: Platform;
  /** Take an image for another platform when there is none for this one. */
  readonly anyPlatform?: boolean;
  /** Whether the image with this config is here, so that deltas from it can be applied. */
  readonly hasImage?: ((config: OciDigest) => boolean) | undefined;
  /** Signature policy to use instead of the user's or the system's. */
  readonly policyFile?: string;
  /** What is known about registries; the user's and the system's configuration by default. */
  readonly registries?: RegistryConfiguration | undefined;
  /** Told before each pause after a failed request. */
  readonly onRetry?: RetryListener | undefined;
}

/** What a transport has to know besides the reference. */
export interface SourceContext {
  readonly selection: Selection;
  /** Descriptor of a directory for unnamed files. */
  readonly temporaryDirectory: number;
  readonly registries: RegistryConfiguration | undefined;
  readonly onRetry: RetryListener | undefined;
}

/** One line for each transport. */
const OPENERS: {
  readonly [T in Transport]: (reference: ReferencesByTransport[T], context: SourceContext) => ImageSource;
} = {
  docker: ({ name }, { selection, registries, onRetry }) =>
    new RegistrySource(
      openRegistryRepository(name, registries ?? loadRegistryConfiguration(), {
        ...(onRetry !== undefined && { onRetry }),
      }),
      name,
      selection,
    ),
  oci: ({ path, tag }, { selection }) => new LayoutSource(new LayoutDirectory(path), tag, selection),
  "oci-archive": ({ path, tag }, { selection, temporaryDirectory }) =>
    new LayoutSource(new LayoutArchive(path, temporaryDirectory), tag, selection),
  "docker-archive": openDockerArchive,
  dir: ({ path }, { selection }) => new DirectorySource(path, selection),
  "docker-daemon": openDockerDaemon,
};

/**
 * Opens what a reference names, if the signature policy lets it in; nothing of the image is read yet. Its manifest is
 * only given out when it is signed as the policy demands.
 * @param temporaryDirectory descriptor of a directory for unnamed files.
 */
export function openSource(
  reference: ImageReference,
  temporaryDirectory: number,
  {
    platform = hostPlatform(),
    anyPlatform = false,
    hasImage,
    policyFile,
    registries,
    onRetry,
  }: SourceOptions = {},
): ImageSource {
  const policy = imagePolicy(reference, policyFile, () => registries ?? loadRegistryConfiguration());
  policy.admit();
  const open = OPENERS[reference.transport] as (
    reference: ImageReference,
    context: SourceContext,
  ) => ImageSource;
  const context = { selection: { platform, anyPlatform, hasImage }, temporaryDirectory, registries, onRetry };
  // Who takes all images of an index needs a signature of the index: that of one image says nothing about the others.
  return verifiedSource(open(reference, context), policy, anyPlatform ? "index" : "image");
}
