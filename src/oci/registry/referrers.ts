import { RequestError, statusOf } from "../../http/errors.ts";
import type { Reply } from "../../http/reply.ts";
import type { Descriptor } from "../descriptor.ts";
import { digestAlgorithm, digestHex, type OciDigest } from "../digest.ts";
import { MAX_INDEX_SIZE, parseIndex } from "../index.ts";
import { isIndexType, OCI_INDEX } from "../media-types.ts";
import { fetchManifest } from "./manifest-request.ts";
import type { Session } from "./session.ts";

const MAX_PAGES = 100;
const MAX_REFERRERS = 10_000;

/** Tag of the index of referrers in registries that don't keep one (distribution specification, "Referrers Tag Schema"). */
export function referrersTag(subject: OciDigest): string {
  return `${digestAlgorithm(subject).slice(0, 32)}-${digestHex(subject).slice(0, 64)}`;
}

/**
 * The manifests whose `subject` is the given one, of one type or all.
 * @throws CfsError Permission, Network, Invalid
 */
export async function fetchReferrers(
  session: Session,
  subject: OciDigest,
  artifactType: string | undefined,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  const found =
    (await fromApi(session, subject, artifactType, signal)) ?? (await fromTag(session, subject, signal));
  // filters of registries may be left out, and need not be trusted
  return artifactType === undefined
    ? found
    : found.filter((descriptor) => descriptor.artifactType === artifactType);
}

/** @returns undefined when the registry has no such API. */
async function fromApi(
  session: Session,
  subject: OciDigest,
  artifactType: string | undefined,
  signal: AbortSignal,
): Promise<Descriptor[] | undefined> {
  const query = artifactType === undefined ? "" : `?${new URLSearchParams({ artifactType })}`;
  const what = `referrers of ${subject}`;
  const found: Descriptor[] = [];
  let target: string | URL = `referrers/${subject}${query}`;
  for (let pages = 0; ; pages++) {
    if (pages === MAX_PAGES || found.length > MAX_REFERRERS)
      throw new RequestError("Invalid", `${session.label}: there are too many ${what}`);
    let page: { manifests: readonly Descriptor[]; next: URL | undefined };
    try {
      page = await session.attempts(signal).run(async () => {
        const reply = await session.fetch({
          method: "GET",
          target,
          what,
          headers: { Accept: OCI_INDEX },
          accept: [200],
          signal,
        });
        if (reply.mediaType === "text/html") {
          await reply.discard();
          throw new RequestError("NotFound", `${session.label}: no ${what}`, { status: 404 });
        }
        const bytes = await reply.bytes(MAX_INDEX_SIZE, what);
        return { manifests: parseIndex(bytes, what).manifests, next: nextPage(reply) };
      });
    } catch (error) {
      if (pages === 0 && [400, 404, 405].includes(statusOf(error) ?? 0)) return undefined;
      throw error;
    }
    found.push(...page.manifests);
    if (page.next === undefined) return found;
    target = page.next;
  }
}

/** The next page (RFC 8288), if it is of the same registry. */
function nextPage(reply: Reply): URL | undefined {
  const link = reply.headers.get("link");
  const match =
    link === null ? null : /<([^<>]{1,4096})>[^,]*;\s*rel="?next"?/i.exec(link.slice(0, 16 * 1024));
  const next = match === null ? null : URL.parse(match[1]!, reply.url.href);
  return next !== null && next.origin === reply.url.origin ? next : undefined;
}

async function fromTag(
  session: Session,
  subject: OciDigest,
  signal: AbortSignal,
): Promise<readonly Descriptor[]> {
  try {
    const { bytes, mediaType } = await fetchManifest(session, referrersTag(subject), signal);
    return isIndexType(mediaType) ? parseIndex(bytes, `referrers of ${subject}`).manifests : [];
  } catch (error) {
    if (statusOf(error) === 404) return [];
    throw error;
  }
}
