import { CfsError, kindOf } from "../../../errors.ts";
import type { OciDigest } from "../../../oci/digest.ts";
import { resolveName } from "../../../oci/image.ts";
import { indexOf } from "../../../oci/list.ts";
import { parseReference } from "../../../oci/reference.ts";
import {
  type Referrer,
  referrerOfDescriptor,
  sourceReferrers,
  storedReferrers,
} from "../../../oci/referrers.ts";
import type { Repository } from "../../../repository/repository.ts";
import type { Arguments } from "../../arguments.ts";
import type { Context } from "../../context.ts";
import { formatBytes } from "../../format-bytes.ts";
import { openRepository } from "../../repository.ts";
import { openSourceArgument } from "./source.ts";

/** A referrer with what is known of it: more of one in the repository than of one elsewhere. */
type Listed = Referrer & {
  readonly subject: OciDigest;
  readonly contentSize?: number;
  readonly tags?: readonly string[];
};

/** `cfsctl oci referrers IMAGE` */
export async function run(context: Context, args: Arguments): Promise<void> {
  using repository = openRepository(context);
  const name = args.required("IMAGE");
  const artifactType = args.text("artifact-type");
  const subjects = args.flag("remote") ? undefined : subjectsInRepository(repository, name);
  const warn = (message: string) => context.err.warning(message);
  const all: Listed[] =
    subjects?.flatMap((subject) =>
      storedReferrers(repository, subject, warn).map((referrer) => ({ ...referrer, subject })),
    ) ?? (await listAtSource(context, repository, args));
  const listed = all.filter((one) => artifactType === undefined || one.artifactType === artifactType);
  const { out } = context;
  if (args.flag("json")) out.json({ referrers: listed.map(jsonReferrer) });
  else if (listed.length === 0) out.line("No referrers found");
  else out.table(["DIGEST", "TYPE", "SIZE", "TAGS"], listed.map(row));
}

/** The image and the index that is kept with it; undefined when there is none, but it names a place outside. */
function subjectsInRepository(repository: Repository, name: string): OciDigest[] | undefined {
  try {
    const { document, digest, byDigest } = resolveName(repository, name);
    const index = byDigest ? undefined : indexOf(repository, name);
    if (document === "manifest") return index === undefined ? [digest] : [index.digest, digest];
  } catch (error) {
    if (kindOf(error) !== "NotFound" || !isReference(name)) throw error;
    return undefined;
  }
  throw new CfsError("Invalid", `${name} is a config; only manifests have referrers`);
}

function isReference(text: string): boolean {
  try {
    parseReference(text);
    return true;
  } catch (error) {
    if (error instanceof CfsError) return false;
    throw error;
  }
}

async function listAtSource(context: Context, repository: Repository, args: Arguments): Promise<Listed[]> {
  const { source: opened } = await openSourceArgument(context, repository, args);
  using source = opened;
  const found = await sourceReferrers(source, args.text("artifact-type"));
  return found.flatMap(({ subject, descriptors }) =>
    descriptors.map((descriptor) => ({ ...referrerOfDescriptor(descriptor), subject })),
  );
}

/** How large it is and what tags it has is only known of one in the repository. */
function row({ digest, artifactType, contentSize, tags }: Listed): string[] {
  return [
    digest,
    artifactType,
    contentSize === undefined ? "-" : formatBytes(contentSize),
    tags === undefined ? "-" : tags.join(", "),
  ];
}

function jsonReferrer({ contentSize, tags, ...one }: Listed): object {
  return {
    digest: one.digest,
    subject: one.subject,
    media_type: one.mediaType,
    artifact_type: one.artifactType,
    size: one.size,
    ...(contentSize !== undefined && { content_size: contentSize }),
    annotations: Object.fromEntries(one.annotations),
    ...(tags !== undefined && { tags }),
  };
}
