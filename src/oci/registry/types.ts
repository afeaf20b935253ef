import type { ConnectionSettings } from "../../http/settings.ts";
import type { OciDigest } from "../digest.ts";
import type { PublishedDocument, RelatedManifests, RemoteBlobs } from "../source.ts";

/** A repository in a registry: `docker.io/library/alpine:3` with everything that the user may leave out. */
export interface DockerReference {
  /** `HOST[:PORT]`, in lower case; `docker.io` for the one that is meant when none is named. */
  readonly host: string;
  /** Path of the repository: `library/alpine`. */
  readonly path: string;
  /** Undefined when only a digest is given. */
  readonly tag: string | undefined;
  readonly digest: OciDigest | undefined;
}

export type RegistryAccess = "pull" | "push";

/** Where a repository can be reached, once mirrors and rewritten locations are considered. */
export interface Endpoint {
  /** `HOST[:PORT]`; `docker.io` is not yet the host of its API. */
  readonly host: string;
  readonly path: string;
  /** Certificates need not be valid, and plain HTTP will do. */
  readonly insecure: boolean;
}

export type Credentials = (
  | { readonly username: string; readonly password: string }
  /** A refresh token of OAuth 2. */
  | { readonly identityToken: string }
) & {
  /** Where they come from, for messages: a file or a program. */
  readonly source?: string;
};

/** What a client has to know about the user's configuration. */
export interface RegistryConfiguration extends Pick<ConnectionSettings, "tls" | "proxy"> {
  /**
   * In the order in which they are to be tried. To push, there is only the registry that the reference names.
   * @throws CfsError Permission when it is blocked
   */
  endpoints(reference: DockerReference, access?: RegistryAccess): readonly Endpoint[];
  /** @param host of the endpoint; @param path of the repository there */
  credentials(host: string, path: string): Promise<Credentials | undefined>;
}

/** Content to be uploaded; it may be asked for again when a connection breaks. */
export interface UploadContent {
  readonly digest: OciDigest;
  /** Bytes. */
  readonly size: number;
  /** The bytes from `from` to the end. */
  read(from: number): AsyncIterable<Uint8Array>;
}

/** A repository in a registry, as a client sees it. Requests are retried, and authenticate themselves. */
export interface RegistryRepository extends RemoteBlobs, RelatedManifests {
  /** @param reference a tag or a digest. @throws CfsError NotFound, Permission, Network, Corrupt */
  manifest(reference: string): Promise<PublishedDocument>;
  hasBlob(digest: OciDigest): Promise<boolean>;
  /** Makes a blob of another repository of the same registry available. @returns false when the registry won't. */
  mountBlob(digest: OciDigest, fromPath: string): Promise<boolean>;
  /** @param onProgress told how many bytes were sent until now: an absolute count, less again after a failure. */
  uploadBlob(content: UploadContent, onProgress: (bytes: number) => void): Promise<void>;
  /** @returns whether the registry keeps track of the manifest's `subject` by itself. */
  putManifest(reference: string, bytes: Uint8Array, mediaType: string): Promise<boolean>;
}
