import { CfsError } from "../../errors.ts";
import type { Progress } from "../../progress.ts";
import type { Fd } from "../../sys/fd.ts";
import type { OciDigest } from "../digest.ts";
import { wantedManifest } from "../registry/reference.ts";
import type { DockerReference, RegistryRepository } from "../registry/types.ts";
import { uploadContent } from "./file-content.ts";
import { addReferrer } from "./referrers-tag.ts";
import type { Publication, PushTarget, ReadyBlob } from "./target.ts";

export interface RegistryTargetOptions {
  readonly label: string;
  /** Directory for files without a name; closed with the target. */
  readonly temporaryDirectory: Fd;
  readonly progress: Progress;
  /** Ends the client's requests. */
  readonly abort: AbortController;
  /** Repositories of the same registry that may have a blob. */
  readonly mountFrom: (digest: OciDigest) => Iterable<string>;
}

/** A repository of a registry. */
export class RegistryTarget implements PushTarget {
  readonly label: string;
  readonly inOrder = false;
  readonly #repository: RegistryRepository;
  readonly #reference: DockerReference;
  readonly #options: RegistryTargetOptions;

  constructor(repository: RegistryRepository, reference: DockerReference, options: RegistryTargetOptions) {
    this.label = options.label;
    this.#repository = repository;
    this.#reference = reference;
    this.#options = options;
  }

  get temporaryDirectory(): number {
    return this.#options.temporaryDirectory.fd;
  }

  async findBlob(digest: OciDigest): Promise<"present" | "mounted" | undefined> {
    if (await this.#repository.hasBlob(digest)) return "present";
    for (const path of this.#options.mountFrom(digest)) {
      if (await this.#repository.mountBlob(digest, path)) return "mounted";
    }
    return undefined;
  }

  async putBlob(blob: ReadyBlob): Promise<void> {
    const { digest, size } = blob;
    const { progress } = this.#options;
    const id = `upload ${digest}`;
    progress.event({ type: "start", id, label: digest, totalBytes: size });
    const onProgress = (bytes: number) => progress.event({ type: "advance", id, bytes });
    await this.#repository.uploadBlob(uploadContent(blob), onProgress);
    progress.event({ type: "done", id, bytes: size });
  }

  abort(): void {
    this.#options.abort.abort();
  }

  async putDocument(document: Publication): Promise<void> {
    await this.#put(document.digest, document);
  }

  async publish(document: Publication): Promise<void> {
    const { digest } = this.#reference;
    if (digest !== undefined && digest !== document.digest) {
      throw new CfsError("Invalid", `${this.label} asks for ${digest}, but the image is ${document.digest}`, {
        hint: "push to a tag; layers that were not kept as they were pulled get other digests",
        data: { expected: digest, found: document.digest },
      });
    }
    await this.#put(wantedManifest(this.#reference), document);
  }

  async #put(reference: string, document: Publication): Promise<void> {
    const listsReferrers = await this.#repository.putManifest(reference, document.bytes, document.mediaType);
    if (document.subject !== undefined && !listsReferrers) await addReferrer(this.#repository, document);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.temporaryDirectory.close();
  }
}
