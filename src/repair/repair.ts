import { display } from "../bytes.ts";
import { CfsError, describeError } from "../errors.ts";
import { repairImages } from "../oci/repair.ts";
import type { Checksum } from "../ostree/checksum.ts";
import { repairCommitImages } from "../ostree/repair.ts";
import type { Progress } from "../progress.ts";
import type { Finding } from "../repository/findings.ts";
import { LostAndFound } from "../repository/lost-found.ts";
import { isIntactObject } from "../repository/object-check.ts";
import type { Repository } from "../repository/repository.ts";
import { type ObjectId, objectPath } from "../verity/digest.ts";
import type { Action } from "./actions.ts";
import { checkDeep, type DeepReport, wrongStreams } from "./check.ts";
import type { ObjectSource } from "./object-source.ts";
import { type ImageOrigin, pullCommitsAgain, pullImagesAgain } from "./pull-again.ts";
import { Restorer } from "./restore.ts";
import { danglingAmong, dropLinks, moveStrays, straysAmong, uselessAmong } from "./take-away.ts";

export interface RepairOptions {
  /** Other copies of the repository, in the order in which they are asked. */
  readonly copies: readonly ObjectSource[];
  /** Where images can be pulled from again. */
  readonly images: readonly ImageOrigin[];
  /** Directories of ostree repositories that have commits. */
  readonly ostree: readonly string[];
  /** Links that lead nowhere may be removed; files that do not belong in the repository, or are of no use, be moved. */
  readonly mayTakeAway: boolean;
  readonly jobs: number;
  readonly progress?: Progress | undefined;
}

export interface RepairReport {
  readonly before: DeepReport;
  /** The same when nothing was wrong. */
  readonly after: DeepReport;
  readonly actions: readonly Action[];
  /** What would be removed or moved if that were allowed, as paths below the repository. */
  readonly notTakenAway: readonly string[];
  /** Why sources were of no help. */
  readonly problems: readonly string[];
}

/** What comes back may show what else is missing; after so many rounds nothing can. */
const MAX_ROUNDS = 5;

/**
 * Brings back what is damaged or missing. An object is only replaced by one of the same digest, a stream by one of the
 * same content. An interrupted repair can be run again.
 */
export async function repairRepository(
  repository: Repository,
  options: RepairOptions,
): Promise<RepairReport> {
  repository.ensureWritable();
  const { jobs, progress } = options;
  const actions: Action[] = [];
  const problems = new Set<string>();
  const before = await checkDeep(repository, jobs, progress);
  let after = before;
  for (let round = 0; round < MAX_ROUNDS && after.findings.length > 0; round++) {
    const done = actions.length;
    await new Repair(repository, options, actions, problems).round(after);
    if (actions.length === done) break;
    after = await checkDeep(repository, jobs, progress);
  }
  const notTakenAway = [
    ...straysAmong(repository, after.findings).map(({ path }) => path),
    ...uselessAmong(repository, after.findings).map(({ path }) => path),
    ...danglingAmong(repository, after.findings).map(({ category, name }) => `${category}/${name}`),
  ];
  return {
    before,
    after,
    actions,
    notTakenAway: [...new Set(notTakenAway)].map(display),
    problems: [...problems],
  };
}

class Repair {
  readonly #repository: Repository;
  readonly #options: RepairOptions;
  readonly #actions: Action[];
  readonly #problems: Set<string>;

  constructor(repository: Repository, options: RepairOptions, actions: Action[], problems: Set<string>) {
    this.#repository = repository;
    this.#options = options;
    this.#actions = actions;
    this.#problems = problems;
  }

  async round({ findings, repository: report, commits }: DeepReport): Promise<void> {
    const repository = this.#repository;
    const { mayTakeAway } = this.#options;
    const strays = straysAmong(repository, findings);
    const mended = mayTakeAway ? findings : findings.filter((finding) => !strays.includes(finding));
    const damaged = new Set(commits.faults.map(({ commit }) => commit));
    {
      using lostFound = new LostAndFound(repository);
      if (mayTakeAway) moveStrays(strays, lostFound, this.#onAction);
      try {
        for (const { object } of mended) {
          if (object !== undefined && !isIntactObject(repository, object)) lostFound.takeObject(object);
        }
        await this.#mend(mended, wrongStreams(report), [...damaged]);
      } finally {
        lostFound.returnObjects();
      }
      if (mayTakeAway) moveStrays(uselessAmong(repository, findings), lostFound, this.#onAction);
    }
    if (mayTakeAway) dropLinks(repository, danglingAmong(repository, findings), this.#onAction);
  }

  /** Damaged objects are out of the way: they count as missing. */
  async #mend(
    findings: readonly Finding[],
    wrong: ReadonlySet<string>,
    commits: readonly Checksum[],
  ): Promise<void> {
    const repository = this.#repository;
    const { copies, images, ostree, jobs, progress } = this.#options;
    const pulling = { jobs, progress, onAction: this.#onAction, onProblem: this.#onProblem };
    for (const copy of copies) {
      const restorer = new Restorer(repository, copy, this.#onAction);
      await this.#attempt(copy.label, () => restorer.restore(findings));
    }
    await this.#mendFromOwn(findings, wrong);
    for (const origin of images) {
      await this.#attempt(origin.label, () => pullImagesAgain(repository, origin, pulling));
    }
    for (const path of ostree) {
      await this.#attempt(path, () => pullCommitsAgain(repository, path, commits, pulling));
    }
    if (images.length + ostree.length > 0) await this.#mendFromOwn(findings, wrong);
  }

  async #mendFromOwn(findings: readonly Finding[], wrong: ReadonlySet<string>): Promise<void> {
    const onMade = (id: ObjectId) => this.#onAction({ what: "made", path: `objects/${objectPath(id)}` });
    const onLinked = (name: string) => this.#onAction({ what: "linked", path: `streams/${name}` });
    repairImages(this.#repository, wrong, { onLinked, onMade });
    repairCommitImages(this.#repository, onMade);
    await new Restorer(this.#repository, undefined, this.#onAction).restore(findings);
  }

  /** A source that fails is no reason not to ask the next one. */
  async #attempt(label: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      if (!(error instanceof CfsError)) throw error;
      this.#onProblem(`${label}: ${describeError(error)}`);
    }
  }

  readonly #onAction = (action: Action): void => void this.#actions.push(action);
  readonly #onProblem = (problem: string): void => void this.#problems.add(problem);
}
