import { CfsError } from "../../errors.ts";
import type { Descriptor } from "../descriptor.ts";
import type { OciDigest } from "../digest.ts";
import { type ImageIndex, MAX_INDEX_SIZE, parseIndex } from "../index.ts";
import { MAX_MANIFEST_SIZE, parseManifest } from "../manifest.ts";
import { isIndexType, isManifestType } from "../media-types.ts";
import { withTag } from "../select.ts";
import type { DocumentStore, PublishedDocument, RelatedManifests } from "../source.ts";

/** As many manifests of a layout are looked at for what they refer to. */
const MAX_LOOKED_AT = 10_000;

/**
 * What lies in a layout beside its images. A layout has no list of referrers: its index, and the index that is tagged
 * as registries without such lists do it (`sha256-HEX`; distribution specification, "Referrers Tag Schema"), are
 * searched for them.
 */
export class LayoutRelations implements RelatedManifests {
  readonly #store: DocumentStore;
  readonly #readIndex: () => ImageIndex;
  #subjects: Promise<ReadonlyMap<OciDigest, readonly Descriptor[]>> | undefined;

  constructor(store: DocumentStore, readIndex: () => ImageIndex) {
    this.#store = store;
    this.#readIndex = readIndex;
  }

  readDocument(descriptor: Descriptor, max: number, what: string): Promise<Uint8Array<ArrayBuffer>> {
    return this.#store.readDocument(descriptor, max, what);
  }

  async manifestByTag(tag: string): Promise<PublishedDocument | undefined> {
    const [descriptor] = withTag(this.#readIndex(), tag);
    if (descriptor === undefined) return undefined;
    const { digest, mediaType } = descriptor;
    const max = isIndexType(mediaType) ? MAX_INDEX_SIZE : MAX_MANIFEST_SIZE;
    return { bytes: await this.#store.readDocument(descriptor, max, `Manifest ${tag}`), digest, mediaType };
  }

  async referrers(subject: OciDigest, artifactType?: string): Promise<readonly Descriptor[]> {
    this.#subjects ??= this.#findSubjects();
    const found = new Map<OciDigest, Descriptor>();
    const tagged = await this.manifestByTag(subject.replace(":", "-"));
    const listed =
      tagged !== undefined && isIndexType(tagged.mediaType) ? parseIndex(tagged.bytes).manifests : [];
    for (const descriptor of [...((await this.#subjects).get(subject) ?? []), ...listed])
      if (!found.has(descriptor.digest)) found.set(descriptor.digest, descriptor);
    return [...found.values()].filter(
      (one) => artifactType === undefined || one.artifactType === artifactType,
    );
  }

  async #findSubjects(): Promise<ReadonlyMap<OciDigest, readonly Descriptor[]>> {
    const subjects = new Map<OciDigest, Descriptor[]>();
    const candidates = this.#readIndex().manifests.filter(({ mediaType }) => isManifestType(mediaType));
    if (candidates.length > MAX_LOOKED_AT) {
      throw new CfsError("Unsupported", `the layout has more than ${MAX_LOOKED_AT} manifests to search`);
    }
    for (const descriptor of candidates) {
      const bytes = await this.#store.readDocument(descriptor, MAX_MANIFEST_SIZE, "Manifest");
      const { subject, artifactType, annotations, config } = parseManifest(bytes);
      if (subject === undefined) continue;
      const referrers = subjects.get(subject.digest) ?? [];
      // What a registry would say in its list (distribution specification, "Listing Referrers").
      referrers.push({ ...descriptor, artifactType: artifactType ?? config.mediaType, annotations });
      subjects.set(subject.digest, referrers);
    }
    return subjects;
  }
}
