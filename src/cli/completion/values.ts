import { toText } from "../../bytes.ts";
import { CfsError } from "../../errors.ts";
import { LAYER_PREFIX, MANIFEST_PREFIX } from "../../oci/streams.ts";
import { listTags } from "../../oci/tags.ts";
import { commitOfStreamName } from "../../ostree/names.ts";
import { listCommitRefs } from "../../ostree/stored-commit.ts";
import { listImages } from "../../repository/images.ts";
import { repositoryPath } from "../../repository/location.ts";
import { type Category, REFS } from "../../repository/names.ts";
import { listRefs, openCategory } from "../../repository/refs.ts";
import { Repository } from "../../repository/repository.ts";
import { openDirectory, readDirectory } from "../../sys/dir.ts";
import type { Fd } from "../../sys/fd.ts";
import type { Completion } from "../tree.ts";
import type { Candidate, TypedGlobals } from "./candidates.ts";
import { findPaths } from "./paths.ts";

/** More names than this are of no use to anybody. */
const MAX_NAMES = 2000;

const TRANSPORTS = ["docker://", "oci:", "oci-archive:", "docker-archive:", "dir:", "docker-daemon:"];
const DESTINATIONS = ["docker://", "oci:", "oci-archive:"];

/** Names in the file system or in the repository that begin with a word; none when the repository can't be read now. */
export function findValues(kind: Completion, word: string, globals: TypedGlobals): readonly Candidate[] {
  switch (kind) {
    case "path":
    case "directory":
      return findPaths(word, kind === "directory");
    case "source":
      return places(TRANSPORTS, word);
    case "destination":
      return places(DESTINATIONS, word);
    case "comparable":
      return [...fromRepository(kind, word, globals), ...findPaths(word, false)];
    default:
      return fromRepository(kind, word, globals);
  }
}

/** `oci:` and what may stand behind it. */
function places(transports: readonly string[], word: string): readonly Candidate[] {
  const transport = transports.find((start) => word.startsWith(start) && !start.endsWith("//"));
  if (transport === undefined) return transports.map((value) => ({ value }));
  const isDirectory = transport === "oci:" || transport === "dir:";
  return findPaths(word.slice(transport.length), isDirectory).map(({ value }) => ({
    value: transport + value,
  }));
}

function fromRepository(kind: Completion, word: string, globals: TypedGlobals): readonly Candidate[] {
  if (globals.has("no-repo")) return [];
  try {
    using repository = open(globals);
    const values: Candidate[] = [];
    for (const value of names(repository, kind, word)) {
      if (value.startsWith(word)) values.push({ value });
      if (values.length === MAX_NAMES) break;
    }
    return values;
  } catch (error) {
    // Whoever runs the command is told what is wrong.
    if (error instanceof CfsError) return [];
    throw error;
  }
}

/** Nothing is changed, and no lock is waited for. @throws CfsError */
function open(globals: TypedGlobals): Repository {
  const repo = globals.get("repo");
  const path = repositoryPath({
    ...(typeof repo === "string" && { repo }),
    user: globals.has("user"),
    system: globals.has("system"),
  });
  return Repository.open(path, {
    onWait: (message) => {
      throw new CfsError("Cancelled", message);
    },
  });
}

/** Digests and other long names are only offered to who has begun one. */
function* names(repository: Repository, kind: Completion, word: string): Generator<string> {
  switch (kind) {
    case "image":
      yield* imageNames(repository);
      if (/^(sha(256|512):|[0-9a-f]{4})/.test(word)) yield* imageIds(repository, word);
      break;
    case "image-id":
      yield* imageIds(repository, word);
      break;
    case "stream":
      for (const { name } of refs(repository, "streams")) yield `refs/${name}`;
      if (word !== "" && !"refs/".startsWith(word) && !word.startsWith("refs/"))
        yield* entries(repository, "streams");
      break;
    case "root":
      yield* entries(repository, "streams");
      yield* entries(repository, "images");
      break;
    case "ref":
      for (const { name } of refs(repository, "streams")) yield `refs/${name}`;
      for (const { name } of refs(repository, "images")) yield `images/refs/${name}`;
      break;
    case "object":
      yield* objects(repository, word);
      break;
    case "container":
      yield* containers(repository, word);
      break;
    case "tag":
      for (const { name } of listTags(repository)) yield name;
      break;
    case "layer":
      yield* idsOf(repository, LAYER_PREFIX);
      break;
    case "commit":
      for (const { name } of listCommitRefs(repository)) yield name;
      if (/^[0-9a-f]+$/.test(word))
        for (const name of entries(repository, "streams")) yield commitOfStreamName(name) ?? "";
      break;
    case "commit-name":
      for (const { name } of listCommitRefs(repository)) yield name;
      break;
    case "comparable":
      yield* imageNames(repository);
      yield* containers(repository, word);
      break;
  }
}

/** A ref with '/' is only known by its full name. */
function* imageNames(repository: Repository): Generator<string> {
  for (const { name } of listImages(repository)) {
    if (!name.includes("/")) yield name;
    yield `refs/${name}`;
  }
}

function* imageIds(repository: Repository, word: string): Generator<string> {
  const start = /^sha(256|512):/.exec(word)?.[0] ?? "";
  for (const id of entries(repository, "images")) yield start + id;
}

/** Tags, and the digests that stand for them; all digests for who has begun one. */
function* containers(repository: Repository, word: string): Generator<string> {
  const tags = listTags(repository);
  const at = word.startsWith("@") ? "@" : "";
  for (const { name } of tags) yield name;
  if (/^@?s/.test(word)) for (const digest of idsOf(repository, MANIFEST_PREFIX)) yield at + digest;
  else for (const digest of new Set(tags.flatMap(({ manifest }) => manifest ?? []))) yield at + digest;
}

function* idsOf(repository: Repository, prefix: string): Generator<string> {
  for (const name of entries(repository, "streams"))
    if (name.startsWith(prefix)) yield name.slice(prefix.length);
}

function* refs(repository: Repository, category: Category): Generator<{ name: string }> {
  for (const { name } of listRefs(repository, category)) {
    const text = toText(name);
    if (text !== undefined) yield { name: text };
  }
}

/** Names directly below `streams/` or `images/`. */
function* entries(repository: Repository, category: Category): Generator<string> {
  using directory = openCategory(repository, category);
  if (directory === undefined) return;
  for (const { name } of readDirectory(directory)) {
    const text = name === REFS ? undefined : toText(name);
    if (text !== undefined) yield text;
  }
}

/** Two digits name a directory of objects; all of them would be too many. */
function* objects(repository: Repository, word: string): Generator<string> {
  if (!/^[0-9a-f]{2,}$/.test(word)) return;
  const prefix = word.slice(0, 2);
  let directory: Fd;
  try {
    directory = openDirectory(repository.dir.fd, `objects/${prefix}`);
  } catch {
    return;
  }
  using opened = directory;
  for (const { name } of readDirectory(opened)) yield prefix + name;
}
