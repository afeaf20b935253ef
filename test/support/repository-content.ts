import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { memorySource, SplitstreamReader } from "../../src/splitstream/reader.ts";
import { algorithmOf, type HashName } from "../../src/verity/digest.ts";

/** What a repository holds, in a form that two of them can be compared by. */
export interface RepositoryContent {
  /** `xx/rest SIZE`, sorted, without the streams of manifests. */
  readonly objects: readonly string[];
  /** `PATH -> TARGET` of all links, sorted; those to the streams of manifests without their target. */
  readonly links: readonly string[];
  /** Manifest streams by name: their order of references may be any. */
  readonly manifests: Readonly<Record<string, DecodedStream>>;
}

export interface DecodedStream {
  readonly contentType: string;
  readonly streamSize: string;
  readonly objectRefs: readonly string[];
  /** Sorted. */
  readonly streamRefs: readonly string[];
  readonly namedRefs: Readonly<Record<string, string>>;
  readonly chunks: readonly string[];
}

export function repositoryContent(repository: string, hash: HashName): RepositoryContent {
  const manifests: Record<string, DecodedStream> = {};
  const manifestObjects = new Set<string>();
  const links: string[] = [];
  for (const path of walk(repository, "streams").concat(walk(repository, "images")).sort()) {
    const target = readlinkSync(join(repository, path));
    const name = path.slice("streams/".length);
    if (name.startsWith("oci-manifest-")) {
      manifestObjects.add(target.replace("../objects/", ""));
      manifests[name] = decodeStream(readFileSync(join(repository, path)), hash);
      links.push(path);
    } else links.push(`${path} -> ${target}`);
  }
  const objects = listObjects(repository)
    .filter((path) => !manifestObjects.has(path))
    .map((path) => `${path} ${lstatSync(join(repository, "objects", path)).size}`);
  return { objects, links, manifests };
}

/** `xx/rest` of every file below `objects`, sorted; a file elsewhere than in `xx` by its own path. */
export function listObjects(repository: string): string[] {
  return walk(repository, "objects")
    .map((path) => path.slice("objects/".length))
    .sort();
}

function decodeStream(bytes: Uint8Array, hash: HashName): DecodedStream {
  const reader = new SplitstreamReader(memorySource(bytes), algorithmOf(hash));
  return {
    contentType: reader.contentType,
    streamSize: String(reader.streamSize),
    objectRefs: [...reader.objectRefs],
    streamRefs: [...reader.streamRefs].sort(),
    namedRefs: Object.fromEntries([...reader.namedRefs].sort()),
    chunks: [...reader.chunks()].map((chunk) =>
      "object" in chunk ? `object ${chunk.object}` : Buffer.from(chunk.inline).toString("hex"),
    ),
  };
}

/** What is no directory below a folder, by paths from the repository; nothing if there is no such folder. */
function walk(repository: string, folder: string): string[] {
  try {
    return readdirSync(join(repository, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? walk(repository, path) : [path];
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
