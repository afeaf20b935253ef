import { CfsError } from "../errors.ts";
import { openCategory } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import { readDirectory } from "../sys/dir.ts";
import type { Checksum } from "./checksum.ts";
import { commitOfStreamName, commitStreamName, isPartialStreamName } from "./names.ts";
import { openCommit, type StoredCommit, streamOfRef } from "./stored-commit.ts";

const HINT = "`cfsctl ostree images` lists the names";

/** All commits that have a stream, sorted by id. */
export function listCommits(repository: Repository): Checksum[] {
  return commitsWhere(repository, () => true);
}

/** Those that are complete. */
export function listCompleteCommits(repository: Repository): Checksum[] {
  return commitsWhere(repository, (name) => !isPartialStreamName(name));
}

function commitsWhere(repository: Repository, isWanted: (stream: string) => boolean): Checksum[] {
  using streams = openCategory(repository, "streams");
  if (streams === undefined) return [];
  const commits = new Set<Checksum>();
  for (const { name } of readDirectory(streams)) {
    const commit = commitOfStreamName(name);
    if (commit !== undefined && isWanted(name)) commits.add(commit);
  }
  return [...commits].sort();
}

/**
 * The commit that a user means by a name, by its id, or by the first digits of its id.
 * @throws CfsError NotFound, Invalid when several commits begin with these digits
 */
export function resolveCommit(repository: Repository, text: string): Checksum {
  const stream = text === "" ? undefined : streamOfName(repository, text);
  if (stream !== undefined) {
    const commit = commitOfStreamName(stream);
    if (commit !== undefined) return commit;
    throw new CfsError("Invalid", `ref '${text}' points to '${stream}', which is no commit`);
  }
  if (!/^[0-9a-fA-F]{1,64}$/.test(text)) {
    throw new CfsError("NotFound", `'${text}' is not a known ostree ref or valid commit ID`, { hint: HINT });
  }
  const prefix = text.toLowerCase();
  const found = listCommits(repository).filter((commit) => commit.startsWith(prefix));
  if (found.length === 1) return found[0]!;
  if (found.length > 1) throw new CfsError("Invalid", `ambiguous commit ID prefix '${text}'`);
  const what = text.length === 64 ? `ostree commit ${prefix}` : `ostree commit prefix '${text}'`;
  throw new CfsError("NotFound", `${what} not found in repository`, { hint: HINT });
}

/** As `resolveCommit`, and reads its stream. */
export function openResolvedCommit(repository: Repository, text: string): StoredCommit {
  const commit = resolveCommit(repository, text);
  const stored = openCommit(repository, commit);
  if (stored !== undefined) return stored;
  throw new CfsError("NotFound", `ref '${text}' points to missing stream '${commitStreamName(commit)}'`, {
    hint: "pull it again",
  });
}

function streamOfName(repository: Repository, name: string): string | undefined {
  try {
    return streamOfRef(repository, name);
  } catch (error) {
    // A name that no file can have is no ref, but may still be an id.
    if (error instanceof CfsError && error.kind === "Invalid") return undefined;
    throw error;
  }
}
