/**
 * Shows a target one input after the other: `child.ts TARGET SEED FIRST SECONDS PROGRESS`. The number of the input that
 * is being worked on stands in the file PROGRESS, so that who has started this knows what it was when it must be ended.
 * Prints one line of JSON: how many inputs there were, and what was wrong with the last one.
 */
import { argv, mmap } from "bun";
import { inputOf } from "./mutate.ts";
import { faultOf } from "./target.ts";
import { TARGETS } from "./targets.ts";

/** An input that takes longer is a fault. */
const LONGEST_MS = 5000;
const COLLECT_EVERY = 500;

const [name, seedText, firstText, secondsText, progressFile] = argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];
const target = TARGETS.find((t) => t.name === name)!;
const progress = new DataView(mmap(progressFile).buffer);
const options = { seeds: target.seeds(), isText: target.isText === true, finish: target.finish };
const seed = Number(seedText);
const end = performance.now() + Number(secondsText) * 1000;
let index = Number(firstText);
let fault: string | undefined;
for (; performance.now() < end && fault === undefined; index++) {
  progress.setUint32(0, index, true);
  const input = inputOf(options, seed, index);
  const start = performance.now();
  fault = await faultOf(target, input);
  const took = performance.now() - start;
  if (fault === undefined && took > LONGEST_MS) fault = `took ${(took / 1000).toFixed(1)} s`;
  if (index % COLLECT_EVERY === 0) Bun.gc(true);
}
console.log(JSON.stringify({ next: index, ...(fault !== undefined && { fault }) }));
