import { fromText } from "../bytes.ts";
import { checkImages, type ImageFault, type OciFsckReport } from "../oci/fsck.ts";
import { manifestStream } from "../oci/streams.ts";
import { tagRef } from "../oci/tags.ts";
import { type CommitCheckReport, type CommitFault, checkCommits } from "../ostree/fsck.ts";
import { commitRefName, commitStreamName } from "../ostree/names.ts";
import type { Progress } from "../progress.ts";
import { type AffectedFinding, findAffected } from "../repository/affected.ts";
import type { Finding, LinkName } from "../repository/findings.ts";
import { checkRepository, type FsckReport } from "../repository/fsck.ts";
import { REFS } from "../repository/names.ts";
import type { Repository } from "../repository/repository.ts";

/** All that is wrong with a repository and with what container images and ostree commits need of it. */
export interface DeepReport {
  readonly repository: FsckReport;
  readonly images: OciFsckReport;
  readonly commits: CommitCheckReport;
  /** Of all three. */
  readonly findings: readonly AffectedFinding[];
}

/** Checks all there is to check: objects, streams, images, refs, container images, ostree commits. */
export async function checkDeep(
  repository: Repository,
  jobs: number,
  progress?: Progress,
): Promise<DeepReport> {
  const report = await checkRepository(repository, { deep: true, jobs });
  const images = checkImages(repository, undefined, { wrongStreams: wrongStreams(report) });
  const commits = await checkCommits(repository, undefined, progress, jobs);
  const findings = findAffected(repository, [
    ...report.findings,
    ...images.faults.map(findingOfImage),
    ...commits.faults.flatMap(findingsOfCommit),
  ]);
  return { repository: report, images, commits, findings };
}

/** Of findings about an entry of `streams/` that is not what its name says. */
const WRONG_STREAM: ReadonlySet<string> = new Set([
  "entry-not-symlink",
  "stat-failed",
  "stream-content-invalid",
  "stream-open-failed",
]);

/** Names of streams whose content is not what their names say. */
export function wrongStreams({ findings }: FsckReport): Set<string> {
  const wrong = findings.filter(({ kind, link }) => link?.category === "streams" && WRONG_STREAM.has(kind));
  return new Set(wrong.map(({ link }) => link!.name));
}

function findingOfImage({ kind, image, detail, manifest }: ImageFault): Finding {
  const name = manifest === undefined ? fromText(`${REFS}/${tagRef(image)}`) : manifestStream(manifest);
  return findingAt(kind, detail, { category: "streams", name });
}

/** One for each name of the commit. */
function findingsOfCommit({ commit, refs, what }: CommitFault): Finding[] {
  const names =
    refs.length > 0 ? refs.map((ref) => `${REFS}/${commitRefName(ref)}`) : [commitStreamName(commit)];
  return names.map((name) =>
    findingAt("commit-invalid", what, { category: "streams", name: fromText(name) }),
  );
}

function findingAt(kind: string, detail: string, link: LinkName): Finding {
  return { kind, path: `${link.category}/${link.name}`, detail, link };
}
