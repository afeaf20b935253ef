import { readFileSync } from "node:fs";
import { join } from "node:path";
import { blobPath, digestOf } from "./oci-layout.ts";

export interface ContentDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly artifactType?: string;
}

/** The fields of manifests and indexes that a registry looks at. */
export interface ManifestFields {
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly config?: ContentDescriptor;
  readonly layers?: readonly ContentDescriptor[];
  readonly manifests?: readonly ContentDescriptor[];
  readonly subject?: ContentDescriptor;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface StoredManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

interface Repository {
  readonly blobs: Set<string>;
  readonly manifests: Map<string, StoredManifest>;
  readonly tags: Map<string, string>;
}

const NAME = "org.opencontainers.image.ref.name";

/** What a test registry holds: may be given to several of them. */
export class RegistryContent {
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #repositories = new Map<string, Repository>();

  /** Stores the images of an OCI layout, tagged as they are named there. @returns the manifest's digest by tag. */
  addLayout(repository: string, layout: string): Record<string, string> {
    const read = (digest: string) => readFileSync(blobPath(layout, digest));
    const add = (descriptor: ContentDescriptor, tag?: string): void => {
      const bytes = read(descriptor.digest);
      const { config, layers = [], manifests = [] } = JSON.parse(bytes.toString()) as ManifestFields;
      for (const child of manifests) add(child);
      for (const blob of config === undefined ? layers : [config, ...layers])
        this.addBlob(repository, read(blob.digest));
      this.addManifest(repository, bytes, descriptor.mediaType, tag);
    };
    const index = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")) as ManifestFields;
    const named = index.manifests ?? [];
    for (const descriptor of named) add(descriptor, descriptor.annotations?.[NAME]);
    return Object.fromEntries(
      named.map(({ annotations, digest }) => [annotations?.[NAME] ?? digest, digest]),
    );
  }

  addBlob(repository: string, bytes: Uint8Array): string {
    const digest = digestOf(bytes);
    this.#blobs.set(digest, bytes);
    this.#of(repository).blobs.add(digest);
    return digest;
  }

  /** @param tag the manifest is tagged with it as well. */
  addManifest(
    repository: string,
    content: Uint8Array | object,
    mediaType: string,
    tag?: string,
  ): ContentDescriptor {
    const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
    const digest = digestOf(bytes);
    this.#of(repository).manifests.set(digest, { bytes, mediaType });
    if (tag !== undefined) this.#of(repository).tags.set(tag, digest);
    return { mediaType, digest, size: bytes.length };
  }

  /** Makes a blob that another repository has available here too. @returns whether that one has it. */
  mountBlob(repository: string, digest: string, from: string): boolean {
    if (!this.#repositories.get(from)?.blobs.has(digest)) return false;
    this.#of(repository).blobs.add(digest);
    return true;
  }

  blob(repository: string, digest: string): Uint8Array | undefined {
    return this.#repositories.get(repository)?.blobs.has(digest) ? this.#blobs.get(digest) : undefined;
  }

  /** A blob of any repository. */
  anyBlob(digest: string): Uint8Array | undefined {
    return this.#blobs.get(digest);
  }

  /** @param reference tag or digest */
  manifest(repository: string, reference: string): (StoredManifest & { digest: string }) | undefined {
    const found = this.#repositories.get(repository);
    const digest = found?.tags.get(reference) ?? reference;
    const manifest = found?.manifests.get(digest);
    return manifest && { ...manifest, digest };
  }

  /** In the order of their names; undefined when there is no such repository. */
  tags(repository: string): string[] | undefined {
    const found = this.#repositories.get(repository);
    return found && [...found.tags.keys()].sort();
  }

  /** Digests of all blobs of a repository. */
  blobs(repository: string): string[] {
    return [...(this.#repositories.get(repository)?.blobs ?? [])];
  }

  /** Manifests whose `subject` is the given one. */
  referrers(repository: string, subject: string): ContentDescriptor[] {
    const manifests = this.#repositories.get(repository)?.manifests ?? new Map<string, StoredManifest>();
    return [...manifests].flatMap(([digest, { bytes, mediaType }]) => {
      const fields = parseManifest(bytes);
      if (fields?.subject?.digest !== subject) return [];
      const artifactType = fields.artifactType ?? fields.config?.mediaType;
      return [
        {
          mediaType,
          digest,
          size: bytes.length,
          ...(artifactType !== undefined && { artifactType }),
          ...(fields.annotations !== undefined && { annotations: fields.annotations }),
        },
      ];
    });
  }

  #of(repository: string): Repository {
    const found = this.#repositories.get(repository);
    if (found !== undefined) return found;
    const created: Repository = { blobs: new Set(), manifests: new Map(), tags: new Map() };
    this.#repositories.set(repository, created);
    return created;
  }
}

export function parseManifest(bytes: Uint8Array): ManifestFields | undefined {
  try {
    return JSON.parse(Buffer.from(bytes).toString()) as ManifestFields;
  } catch {
    return undefined;
  }
}
