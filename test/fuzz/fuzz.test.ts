import { expect, test } from "bun:test";
import { inputOf } from "./mutate.ts";
import { faultOf } from "./target.ts";
import { TARGETS } from "./targets.ts";

/** Enough to keep the targets working; scripts/fuzz.ts is for looking for faults. */
const MS = 700;
const SEED = Number(process.env.TEST_SEED ?? 1);

test.each(TARGETS.map((target) => [target.name, target] as const))(
  "%s gives a value or a clear error for damaged input",
  async (_, target) => {
    const options = { seeds: target.seeds(), isText: target.isText === true, finish: target.finish };
    expect(options.seeds.length).toBeGreaterThan(1);
    for (const bytes of options.seeds) expect(await faultOf(target, new Uint8Array(bytes))).toBeUndefined();
    const end = performance.now() + MS;
    for (let index = 0; performance.now() < end; index++) {
      const fault = await faultOf(target, inputOf(options, SEED, index));
      expect({ index, fault }).toEqual({ index, fault: undefined });
    }
  },
  30_000,
);

test("the input of an index is always the same", () => {
  const { seeds, isText = false, finish } = TARGETS[0]!;
  const options = { seeds: seeds(), isText, finish };
  for (const index of [0, 1, 1000]) expect(inputOf(options, 5, index)).toEqual(inputOf(options, 5, index));
});
