import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { findReference } from "../support/reference.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";
import { damageAndRepair, type Outcome } from "./damage-run.ts";
import { makeSampleRepository, type SampleRepository, snapshot } from "./sample-repository.ts";

/** More of them: DAMAGES=1000. */
const COUNT = Number(process.env.DAMAGES ?? 20);
/** Seeds that have shown something, and the first ones. */
const SEEDS = [362, 606, ...Array.from({ length: COUNT }, (_, i) => i + 1)];
const REFERENCE = findReference();
if (REFERENCE === undefined) console.log("skipped: how much composefs-rs finds: needs the reference");

describe.each(["sha256", "sha512"] as const)("a repository of %s with random damage", (hash) => {
  let scratch: TempDir;
  let sample: SampleRepository;
  const outcomes: Outcome[] = [];

  beforeAll(async () => {
    scratch = tempDirInMemory(64 << 20);
    sample = await makeSampleRepository(scratch.path, hash);
  });
  afterAll(() => scratch[Symbol.dispose]());

  test(
    "is found damaged, with exactly the refs that are affected; gc keeps what is needed; repair makes it whole",
    async () => {
      const pristine = snapshot(sample.path);
      for (const seed of new Set(SEEDS))
        outcomes.push(await damageAndRepair(sample, pristine, seed, REFERENCE));
      const failed = outcomes.filter(({ faults }) => faults.length > 0);
      expect(failed.map(({ seed, damages, faults }) => ({ seed, damages, faults }))).toEqual([]);
    },
    5000 + COUNT * 1000,
  );

  test.skipIf(REFERENCE === undefined)("is found damaged at least as often as by composefs-rs", () => {
    const matter = outcomes.filter(({ damages }) => damages.some((damage) => damage.matters));
    const count = (isFound: (outcome: Outcome) => boolean | undefined) => matter.filter(isFound).length;
    const [plain, deep, reference] = [
      count(({ found }) => found),
      count(({ foundDeep }) => foundDeep),
      count(({ foundByReference }) => foundByReference),
    ];
    console.log(
      `${hash}: ${matter.length} damages: found by fsck --deep ${deep}, fsck ${plain}, composefs-rs ${reference}`,
    );
    expect(deep).toBe(matter.length);
    expect(plain).toBeGreaterThanOrEqual(reference);
    // It looks at less: whatever it finds, a plain check finds as well.
    expect(matter.filter((o) => o.foundByReference && !o.found)).toEqual([]);
  });
});
