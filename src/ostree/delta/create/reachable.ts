import type { ByteString } from "../../../bytes.ts";
import { CfsError, withContext } from "../../../errors.ts";
import { type Checksum, computeChecksum } from "../../checksum.ts";
import { type MetadataType, parseCommit, parseDirTree } from "../../objects.ts";
import type { OstreeSource } from "../../source.ts";

/** What a commit consists of. */
export interface Reachable {
  readonly commit: Uint8Array<ArrayBuffer>;
  /** Dirtrees and dirmetas, in the order in which they were found. */
  readonly metadata: ReadonlyMap<Checksum, MetadataType>;
  /** Files, each with one of its paths. */
  readonly files: ReadonlyMap<Checksum, ByteString>;
  readonly byPath: ReadonlyMap<ByteString, Checksum>;
}

/** Finds all that belongs to a commit; each directory is looked at once, wherever it is. */
export async function findReachable(source: OstreeSource, commit: Checksum): Promise<Reachable> {
  const metadata = new Map<Checksum, MetadataType>();
  const files = new Map<Checksum, ByteString>();
  const byPath = new Map<ByteString, Checksum>();
  const bytes = await readVerified(source, "commit", commit);
  const { rootTree, rootMeta } = parseCommit(bytes);
  metadata.set(rootMeta, "dirmeta");
  metadata.set(rootTree, "dirtree");
  const pending: { readonly path: ByteString; readonly tree: Checksum }[] = [{ path: "", tree: rootTree }];
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    const { path, tree } = next;
    const entries = parseDirTree(await readVerified(source, "dirtree", tree));
    for (const { name, file } of entries.files) {
      const filePath = `${path}/${name}`;
      byPath.set(filePath, file);
      if (!files.has(file)) files.set(file, filePath);
    }
    for (const directory of entries.directories) {
      metadata.set(directory.meta, "dirmeta");
      if (metadata.has(directory.tree)) continue;
      metadata.set(directory.tree, "dirtree");
      pending.push({ path: `${path}/${directory.name}`, tree: directory.tree });
    }
  }
  return { commit: bytes, metadata, files, byPath };
}

/** Reads a metadata object, and compares it with its checksum. */
export async function readVerified(
  source: OstreeSource,
  type: MetadataType,
  checksum: Checksum,
): Promise<Uint8Array<ArrayBuffer>> {
  const what = `${source.label}: ${type} ${checksum}`;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = await source.readMetadata(type, checksum);
  } catch (error) {
    throw withContext(what, error);
  }
  const found = computeChecksum(bytes);
  if (found === checksum) return bytes;
  throw new CfsError("Corrupt", `${what}: Invalid ${type} checksum ${found}, expected ${checksum}`, {
    hint: "run `ostree fsck` on the repository",
  });
}
