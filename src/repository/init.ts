import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { CfsError, withContext } from "../errors.ts";
import type { Fd } from "../sys/fd.ts";
import {
  AT_FDCWD,
  existsat,
  LOCK_EX,
  LOCK_SH,
  mkdirat,
  O_DIRECTORY,
  O_RDONLY,
  open,
  pathBytes,
} from "../sys/file.ts";
import type { Algorithm } from "../verity/digest.ts";
import { inferLegacy } from "./legacy.ts";
import {
  type ErofsVersion,
  effectiveErofsVersion,
  META_NAME,
  newMeta,
  type RepositoryMeta,
  sameMeta,
} from "./meta.ts";
import { prepareMeta, readMetaFile } from "./meta-file.ts";
import { removeTree } from "./remove-tree.ts";
import { checkWritable, lock } from "./repository.ts";

export interface InitOptions {
  readonly algorithm: Algorithm;
  readonly erofsVersion: ErofsVersion;
  /** Turn fs-verity on for meta.json, which makes the repository require it for every object. */
  readonly verity: boolean;
  /** Accept a repository that exists, whatever its EROFS formats are. */
  readonly ensure?: boolean;
  /** Throw away streams, images and meta.json first; objects stay. */
  readonly resetMetadata?: boolean;
  readonly onWait?: (message: string) => void;
}

export type InitResult =
  | { readonly outcome: "created"; readonly meta: RepositoryMeta; readonly verity: boolean }
  /** It existed with the same configuration, or `ensure` was set. */
  | { readonly outcome: "existing" }
  /** It was from before meta.json existed, and now has one. */
  | { readonly outcome: "upgraded" };

const REPOSITORY_MODE = 0o700;

/**
 * Makes a repository at `path`, with its parent directories.
 * @throws CfsError Exists when there is one of another configuration
 */
export function initRepository(path: string, options: InitOptions): InitResult {
  makeDirectory(path);
  using dir = open(path, O_RDONLY | O_DIRECTORY);
  lock(dir, options.resetMetadata ? LOCK_EX : LOCK_SH, path, options.onWait);
  const existing = options.resetMetadata ? undefined : readMetaFile(dir);
  if (existing !== undefined) {
    compare(path, existing.meta, options);
    return { outcome: "existing" };
  }
  checkWritable(dir);
  if (options.ensure && !options.resetMetadata && existsat(dir.fd, "objects"))
    return upgrade(path, dir, options);

  const meta = newMeta(options.algorithm, options.erofsVersion);
  // Prepared before anything is removed: it fails where fs-verity is asked for and missing.
  using prepared = prepareMeta(dir, meta, options.verity);
  if (options.resetMetadata) for (const name of ["streams", "images", META_NAME]) removeTree(dir, name);
  if (!prepared.publish()) {
    // Somebody else was faster.
    compare(path, readMetaFile(dir)!.meta, options);
    return { outcome: "existing" };
  }
  return { outcome: "created", meta, verity: options.verity };
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (error) {
    throw withContext(`creating parent directories for ${path}`, error);
  }
  mkdirat(AT_FDCWD, pathBytes(path), REPOSITORY_MODE);
}

function compare(path: string, existing: RepositoryMeta, options: InitOptions): void {
  if (options.ensure) {
    expectAlgorithm(path, existing.algorithm, options.algorithm);
    return;
  }
  const wanted = newMeta(options.algorithm, options.erofsVersion);
  if (sameMeta(existing, wanted)) return;
  throw new CfsError(
    "Exists",
    `${path} is already initialized with a different configuration: it has ${configuration(existing)}, asked for is ${configuration(wanted)}`,
    { hint: "use --ensure to accept an existing repository, or another path" },
  );
}

function configuration(meta: RepositoryMeta): string {
  return `${meta.algorithm.id} and EROFS format ${effectiveErofsVersion(meta)}`;
}

function expectAlgorithm(path: string, found: Algorithm, expected: Algorithm): void {
  if (found === expected) return;
  throw new CfsError("Exists", `${path} has algorithm ${found.id}, not ${expected.id}`, {
    hint: `pass --algorithm ${found.id}`,
  });
}

function upgrade(path: string, dir: Fd, options: InitOptions): InitResult {
  const legacy = inferLegacy(dir, path);
  expectAlgorithm(path, legacy.algorithm, options.algorithm);
  // Old repositories get the default configuration, whatever format was asked for: `ensure` accepts what is there.
  using prepared = prepareMeta(dir, newMeta(legacy.algorithm, 1), legacy.verity);
  return prepared.publish() ? { outcome: "upgraded" } : { outcome: "existing" };
}
