import { type ByteString, toText } from "../bytes.ts";
import { CfsError, describeError } from "../errors.ts";
import { listRefs, writeRef } from "../repository/refs.ts";
import type { Repository } from "../repository/repository.ts";
import type { Descriptor } from "./descriptor.ts";
import { isDigest, type OciDigest } from "./digest.ts";
import { readManifest } from "./image.ts";
import { artifactTypeOf, type Manifest, publishedSize } from "./manifest.ts";
import type { ImageSource } from "./source.ts";
import { indexStream, manifestStream } from "./streams.ts";
import { listTags } from "./tags.ts";

/** Directory below `streams/refs` with links SUBJECT/MANIFEST for manifests that refer to another one. */
const REFERRERS_DIRECTORY = "oci-referrers";

/** A manifest that refers to another one by its `subject` (OCI image specification, manifest.md). */
export interface Referrer {
  readonly digest: OciDigest;
  readonly mediaType: string;
  /** Its `artifactType`, else the media type of its config; empty when nobody says. */
  readonly artifactType: string;
  /** Bytes of the manifest. */
  readonly size: number;
  readonly annotations: ReadonlyMap<string, string>;
}

/** A referrer in the repository. */
export interface StoredReferrer extends Referrer {
  /** Bytes of its config and layers together. */
  readonly contentSize: number;
  /** Sorted. */
  readonly tags: readonly string[];
}

/**
 * Writes down that a manifest, which must be in the repository, refers to its subject; whether that is there does not
 * matter. A manifest without a subject is left alone. The link is a ref that keeps the referrer as long as the subject
 * is kept (see `referrerCondition`).
 */
export function recordReferrer(repository: Repository, { digest, subject }: Manifest): void {
  if (subject === undefined) return;
  writeRef(
    repository,
    "streams",
    `${REFERRERS_DIRECTORY}/${subject.digest}/${digest}`,
    manifestStream(digest),
  );
}

/**
 * For garbage collection: a referrer means nothing without its subject, so its link is a root only while the subject, a
 * manifest or an index, is kept by something else.
 * @param ref path below `streams/refs`.
 * @returns the streams of which one must be kept; undefined for refs that are roots on their own.
 */
export function referrerCondition(ref: string): ByteString[] | undefined {
  const subject = parseRef(ref)?.subject;
  return subject === undefined ? undefined : [manifestStream(subject), indexStream(subject)];
}

function parseRef(ref: string): { subject: OciDigest; referrer: OciDigest } | undefined {
  const [directory, subject, referrer, ...more] = ref.split("/");
  if (directory !== REFERRERS_DIRECTORY || more.length > 0) return undefined;
  if (subject === undefined || referrer === undefined) return undefined;
  return isDigest(subject) && isDigest(referrer) ? { subject, referrer } : undefined;
}

/** Digests of the manifests that refer to others, sorted, by the digest of that other. */
export function listReferrers(repository: Repository): ReadonlyMap<OciDigest, readonly OciDigest[]> {
  const referrers = new Map<OciDigest, OciDigest[]>();
  for (const { name } of listRefs(repository, "streams")) {
    const parsed = parseRef(toText(name) ?? "");
    if (parsed === undefined) continue;
    const known = referrers.get(parsed.subject);
    if (known === undefined) referrers.set(parsed.subject, [parsed.referrer]);
    else known.push(parsed.referrer);
  }
  return referrers;
}

/**
 * What the repository has about the manifests that refer to one, sorted by digest.
 * @param onUnreadable is told about those that are left out because they are damaged.
 */
export function storedReferrers(
  repository: Repository,
  subject: OciDigest,
  onUnreadable: (message: string) => void,
): StoredReferrer[] {
  const digests = listReferrers(repository).get(subject) ?? [];
  if (digests.length === 0) return [];
  const tags = Map.groupBy(listTags(repository), ({ manifest }) => manifest);
  return digests.flatMap((digest): StoredReferrer[] => {
    try {
      const { manifest } = readManifest(repository, digest);
      return [
        {
          digest,
          mediaType: manifest.mediaType,
          artifactType: artifactTypeOf(manifest) ?? manifest.config.mediaType,
          size: manifest.bytes.length,
          annotations: manifest.annotations,
          contentSize: publishedSize(manifest),
          tags: (tags.get(digest) ?? []).map(({ name }) => name),
        },
      ];
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      onUnreadable(`referrer ${digest}: ${describeError(error)}`);
      return [];
    }
  });
}

/** The referrers of an image where it is, and of the index that it was chosen from. */
export interface SubjectReferrers {
  readonly subject: OciDigest;
  readonly descriptors: readonly Descriptor[];
}

/**
 * Asks a source for the referrers of its image: of the index first, if there is one, then of the manifest.
 * @throws CfsError Unsupported for sources that hold nothing but the image
 */
export async function sourceReferrers(
  source: ImageSource,
  artifactType?: string,
): Promise<SubjectReferrers[]> {
  const { related } = source;
  if (related === undefined) {
    throw new CfsError(
      "Unsupported",
      `${source.label}: only an image can be read from there, not what refers to it`,
      {
        hint: "registries and OCI layouts know referrers",
      },
    );
  }
  const { digest, index } = await source.manifest();
  const found: SubjectReferrers[] = [];
  for (const subject of index === undefined ? [digest] : [index.digest, digest])
    found.push({ subject, descriptors: await related.referrers(subject, artifactType) });
  return found;
}

export function referrerOfDescriptor({
  digest,
  mediaType,
  artifactType = "",
  size,
  annotations,
}: Descriptor): Referrer {
  return { digest, mediaType, artifactType, size, annotations };
}
