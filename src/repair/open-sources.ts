import { existsSync } from "node:fs";
import { join } from "node:path";
import { CfsError } from "../errors.ts";
import { openSource, type SourceOptions } from "../oci/open-source.ts";
import { parseReference, transportOf } from "../oci/reference.ts";
import { type CopyOptions, PublishedCopy, parseCopyUrl } from "../published/published-copy.ts";
import type { OpenOptions } from "../repository/repository.ts";
import { Repository } from "../repository/repository.ts";
import { type ObjectSource, RepositorySource } from "./object-source.ts";
import { PublishedSource } from "./published-source.ts";
import type { ImageOrigin } from "./pull-again.ts";

const OSTREE = "ostree:";

/** For help texts and messages. */
export const SOURCE_FORMS =
  "the directory of another repository, the URL of a published copy, an image as oci pull takes it (docker://…, oci:…), or ostree:DIRECTORY";

/** What a repair can get things from. */
export interface RepairSources extends Disposable {
  readonly copies: readonly ObjectSource[];
  readonly images: readonly ImageOrigin[];
  readonly ostree: readonly string[];
}

/** How sources are opened. The functions are called when there is a source of the kind. */
export interface SourcesOptions {
  readonly repositories: OpenOptions;
  readonly images: () => SourceOptions;
  readonly copies: () => CopyOptions;
}

/**
 * Opens what the user names as sources; of images and URLs, nothing is read yet.
 * @throws CfsError NotFound, Invalid
 */
export function openSources(
  target: Repository,
  texts: readonly string[],
  options: SourcesOptions,
): RepairSources {
  using stack = new DisposableStack();
  const copies: ObjectSource[] = [];
  const images: ImageOrigin[] = [];
  const ostree: string[] = [];
  for (const text of texts) {
    if (text.startsWith(OSTREE)) ostree.push(text.slice(OSTREE.length));
    else if (transportOf(text) !== undefined) images.push(imageOrigin(target, text, options.images()));
    else if (/^https?:/i.test(text)) {
      const copy = new PublishedCopy(parseCopyUrl(text), options.copies());
      copies.push(stack.use(new PublishedSource(copy, target)));
    } else copies.push(stack.use(openRepositorySource(target, text, options.repositories)));
  }
  const opened = stack.move();
  return { copies, images, ostree, [Symbol.dispose]: () => opened.dispose() };
}

function openRepositorySource(target: Repository, path: string, options: OpenOptions): RepositorySource {
  if (!existsSync(join(path, "objects"))) {
    throw new CfsError("NotFound", `${path} is not a repository that anything can be restored from`, {
      hint: `a source is ${SOURCE_FORMS}`,
    });
  }
  const repository = Repository.open(path, options);
  if (repository.algorithm === target.algorithm) return new RepositorySource(repository);
  const { id } = repository.algorithm;
  repository[Symbol.dispose]();
  throw new CfsError("Invalid", `${path} has objects of ${id}, but ${target.algorithm.id} is needed`, {
    hint: "name a repository with the same algorithm, or where the images were pulled from",
  });
}

function imageOrigin(repository: Repository, text: string, options: SourceOptions): ImageOrigin {
  const reference = parseReference(text);
  const { fd } = repository.dir;
  return {
    label: text,
    open: async () => openSource(reference, fd, options),
    at:
      reference.transport === "docker"
        ? (digest) =>
            openSource({ ...reference, name: { ...reference.name, tag: undefined, digest } }, fd, options)
        : undefined,
  };
}
