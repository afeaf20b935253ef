import { CfsError } from "../../errors.ts";
import { type Checksum, computeChecksum } from "../checksum.ts";
import { type MetadataType, parseCommit } from "../objects.ts";
import type { OstreeSource } from "../source.ts";
import { type Verification, verifySignatures } from "./verification.ts";

const REF_BINDING = "ostree.ref-binding";

/** A source of which only commits are taken that are signed as it has to be. */
export class VerifiedSource implements OstreeSource {
  readonly #source: OstreeSource;
  readonly #verification: Verification;
  /** The one that was verified last: it is asked for again when it is pulled. */
  #last:
    | {
        readonly commit: Checksum;
        readonly bytes: Uint8Array<ArrayBuffer>;
        readonly detached: Uint8Array<ArrayBuffer> | undefined;
      }
    | undefined;

  constructor(source: OstreeSource, verification: Verification) {
    this.#source = source;
    this.#verification = verification;
  }

  get label(): string {
    return this.#source.label;
  }

  get metadataConcurrency(): number {
    return this.#source.metadataConcurrency;
  }

  get files(): OstreeSource["files"] {
    return this.#source.files;
  }

  /** A commit that is signed for other refs only is refused: the list of refs itself need not be signed. */
  async resolveRef(ref: string): Promise<Checksum> {
    const commit = await this.#source.resolveRef(ref);
    const { metadata } = parseCommit(await this.readMetadata("commit", commit));
    const binding = metadata.find(([key]) => key === REF_BINDING)?.[1];
    // Of `REMOTE:REF`, only the last is what the commit was made for.
    const name = ref.slice(ref.indexOf(":") + 1);
    if (
      binding !== undefined &&
      !(binding.signature === "as" && (binding.value as string[]).includes(name))
    ) {
      throw new CfsError(
        "Permission",
        `${this.label}: the commit ${commit} was not made for the ref '${ref}'`,
        {
          hint: "the repository may be set up wrongly, or somebody gives out other commits than you want",
        },
      );
    }
    return commit;
  }

  async readMetadata(type: MetadataType, checksum: Checksum): Promise<Uint8Array<ArrayBuffer>> {
    if (type !== "commit") return this.#source.readMetadata(type, checksum);
    if (this.#last?.commit === checksum) return this.#last.bytes;
    const bytes = await this.#source.readMetadata(type, checksum);
    const found = computeChecksum(bytes);
    if (found !== checksum) {
      throw new CfsError("Corrupt", `${this.label}: Invalid commit checksum ${found}, expected ${checksum}`, {
        data: { expected: checksum, found },
      });
    }
    const detached = await this.#source.readDetachedMetadata(checksum);
    const what = `${this.label}: the commit ${checksum}`;
    verifySignatures(this.#verification, this.#verification.commits, bytes, detached, what);
    this.#last = { commit: checksum, bytes, detached };
    return bytes;
  }

  async readDetachedMetadata(commit: Checksum): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.#last?.commit === commit) return this.#last.detached;
    return this.#source.readDetachedMetadata(commit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#source[Symbol.asyncDispose]();
  }
}
