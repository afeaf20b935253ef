import { rmSync } from "node:fs";
import { CfsError } from "../../src/errors.ts";
import { referrerCondition } from "../../src/oci/referrers.ts";
import { detachedMetadataCondition } from "../../src/ostree/detached-metadata.ts";
import { checkDeep } from "../../src/repair/check.ts";
import { RepositorySource } from "../../src/repair/object-source.ts";
import { repairRepository } from "../../src/repair/repair.ts";
import { checkRoot } from "../../src/repair/stream-name.ts";
import { allAffected } from "../../src/repository/affected.ts";
import { checkRepository } from "../../src/repository/fsck.ts";
import { collectGarbage } from "../../src/repository/gc.ts";
import { Repository } from "../../src/repository/repository.ts";
import { Choices } from "../support/choices.ts";
import { affectedBy, type Damage, damage } from "./damage.ts";
import { listRepository, type SampleRepository, snapshot } from "./sample-repository.ts";

/** What became of one damaged repository. */
export interface Outcome {
  readonly seed: number;
  readonly damages: readonly Damage[];
  /** Whether a plain check, a deep check and composefs-rs notice it. */
  readonly found: boolean;
  readonly foundDeep: boolean;
  readonly foundByReference: boolean | undefined;
  /** What went wrong with us; nothing, that is. */
  readonly faults: readonly string[];
}

/**
 * Damages a copy of a sample, checks it, collects garbage in it, and repairs it from the sample.
 * @param reference program to compare with.
 */
export async function damageAndRepair(
  sample: SampleRepository,
  pristine: readonly string[],
  seed: number,
  reference?: string,
): Promise<Outcome> {
  const path = `${sample.path}-damaged`;
  rmSync(path, { recursive: true, force: true });
  copyTree(sample.path, path);
  const choices = new Choices(Math.imul(seed, 0x9e3779b1) >>> 0);
  const damages = [damage(path, sample, choices)];
  while (choices.chance(0.35)) damages.push(damage(path, sample, choices));
  const faults: string[] = [];
  const foundByReference =
    reference === undefined ? undefined : Bun.spawnSync([reference, "--repo", path, "fsck"]).exitCode !== 0;
  const matters = damages.some((done) => done.matters);
  const collected = `${path}-collected`;
  rmSync(collected, { recursive: true, force: true });
  copyTree(path, collected);
  let found = false;
  let foundDeep = false;
  {
    using repository = Repository.open(path);
    found = (await checkRepository(repository)).findings.length > 0;
    const { findings } = await checkDeep(repository, 1);
    foundDeep = findings.length > 0;
    if (foundDeep !== matters) faults.push(foundDeep ? "found something" : "not found");
    const named = allAffected(findings).filter((ref) => sample.refs.includes(ref));
    const affected = affectedBy(sample, damages);
    if (matters && named.join() !== affected.join())
      faults.push(`affected: named ${named.join()} instead of ${affected.join()}`);
  }
  faults.push(...collect(collected, sample));
  {
    using repository = Repository.open(path);
    using source = new RepositorySource(Repository.open(sample.path));
    const options = { copies: [source], images: [], ostree: [], mayTakeAway: true, jobs: 1 };
    const { after, problems } = await repairRepository(repository, options);
    faults.push(...problems, ...after.findings.map(({ kind, path }) => `after the repair: ${kind}: ${path}`));
  }
  const expected = matters
    ? pristine
    : pristine.filter((line) => !damages.some((d) => d.paths.includes(line.split(" ")[0]!)));
  const left = snapshot(path);
  const differences = [
    ...expected.filter((line) => !left.includes(line)).map((line) => `not as before: ${line}`),
    ...left.filter((line) => !pristine.includes(line)).map((line) => `new: ${line}`),
  ];
  const lostGarbage = damages.filter((d) => !d.matters).flatMap((d) => d.paths);
  faults.push(...differences.filter((line) => !lostGarbage.some((name) => line.includes(name))));
  return { seed, damages, found, foundDeep, foundByReference, faults };
}

/**
 * Garbage collection must not remove anything that a ref needs which is still there, and nothing but what a dry run
 * says.
 */
function collect(path: string, { refs, needs }: SampleRepository): string[] {
  const before = new Set(listRepository(path));
  const gone = () => {
    const left = new Set(listRepository(path));
    return [...before].filter((name) => !left.has(name));
  };
  const options = {
    checkRoot,
    condition: (ref: string) => referrerCondition(ref) ?? detachedMetadataCondition(ref),
  };
  let told: string[];
  try {
    using repository = Repository.open(path);
    told = [...collectGarbage(repository, { ...options, dryRun: true }).removed()].sort();
    collectGarbage(repository, options);
  } catch (error) {
    if (!(error instanceof CfsError)) throw error;
    return gone().map((name) => `gc gave up, but had removed ${name}`);
  }
  const removed = gone();
  const needed = new Set(refs.filter((ref) => before.has(ref)).flatMap((ref) => [...needs.get(ref)!]));
  return [
    ...removed
      .filter((name) => name.startsWith("objects/") && needed.has(name))
      .map((name) => `gc removed ${name}`),
    ...(removed.join() === told.join() ? [] : [`gc removed ${removed.join()}, but had told ${told.join()}`]),
  ];
}

function copyTree(from: string, to: string): void {
  const { success, stderr } = Bun.spawnSync(["cp", "-a", from, to]);
  if (!success) throw new Error(stderr.toString());
}
