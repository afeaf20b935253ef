import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { initRepository } from "../../src/repository/init.ts";
import { SHA256 } from "../../src/verity/digest.ts";
import { CFSCTL } from "../support/cfsctl.ts";
import { Scratch } from "./support.ts";
import {
  type Answer,
  type Case,
  inProcess,
  isKnown,
  prepare,
  type Runner,
  readCases,
  type Step,
  spawned,
  treeOf,
} from "./vector-runner.ts";

/** Where this program answers differently from composefs-rs 0.9.4, and why. */
interface Exception {
  readonly why: string;
  readonly rc?: number;
  /** null: whatever it is. */
  readonly stdout?: string | null;
}

const SIZE_CHECKED = "the size recorded in the stream is wrong; cat checks it";
const STRAY = "a file that does not belong there does not stop the collection";
const ROOT_UNKNOWN = "nothing is collected while it is not known what a ref keeps";
const DRY_TRUTH = "a dry run also tells of the links that the real run removes";
const NOT_AN_IMAGE = "what is no valid EROFS image is refused";
const DRY = "Dry run (no files deleted):\n";
const REMOVED = "Objects: 2 removed (753 bytes)\n";
const NOTHING = "Objects: 0 removed (0 bytes)\n";
const PRUNED = "Pruned symlinks: 0 images, 1 streams\n";

const fsckText = (objects: string, streams: string, ...rest: string[]) =>
  `meta.json: ok\nobjects: ${objects} ok\nstreams: ${streams} ok\nimages: 2/2 ok\n${rest.join("\n")}\n`;
const collectedAnyway = (after: string, pruned = ""): Record<number, Exception> => ({
  0: { why: STRAY, rc: 0, stdout: DRY + REMOVED + pruned },
  1: { why: STRAY, rc: 0, stdout: REMOVED + pruned },
  2: { why: STRAY, rc: 0, stdout: NOTHING },
  3: { why: "two objects are gone", stdout: after, ...(pruned !== "" && { rc: 0 }) },
});

/** `area/case` → index of the step → exception. */
const STEPS: Record<string, Record<number, Exception>> = {
  "splitstream/ss-wrong-total-size": { 0: { why: SIZE_CHECKED, rc: 1 } },
  "splitstream/ss-unused-object-ref": { 0: { why: SIZE_CHECKED, rc: 1 } },
  "splitstream/ss-missing-unused-object-ref": { 0: { why: SIZE_CHECKED, rc: 1 } },
  "splitstream/ss-two-frames": { 0: { why: SIZE_CHECKED, rc: 1 } },
  "splitstream/ss-chunk-truncated-inline": {
    0: { why: "inline data is streamed, not held in memory: what is there is written", stdout: "short" },
  },
  "splitstream/ss-chunk-int64-min": {
    0: { why: "composefs-rs panics; here it is an error like other cut streams", rc: 1, stdout: "abc" },
  },
  "images/import-image": {
    0: { why: NOT_AN_IMAGE, rc: 1, stdout: "" },
    1: { why: NOT_AN_IMAGE, rc: 1, stdout: "" },
    2: { why: NOT_AN_IMAGE, rc: 1, stdout: "" },
    4: { why: NOT_AN_IMAGE, rc: 1, stdout: "" },
  },
  "fsck/object-dir-is-file": {
    0: {
      why: "a file in the place of a directory is a finding like others",
      stdout: fsckText("24/24", "5/5", "status: 1 error(s)", "  - fsck: not-a-directory: objects/00"),
    },
    1: { why: "with --json, errors are no failure", rc: 0, stdout: null },
  },
  "gc/no-refs": {
    0: {
      why: DRY_TRUTH,
      stdout: `${DRY}Objects: 24 removed (82111 bytes)\nPruned symlinks: 2 images, 5 streams\n`,
    },
  },
  "gc/untagged-oci": {
    0: {
      why: DRY_TRUTH,
      stdout: `${DRY}Objects: 12 removed (33748 bytes)\nPruned symlinks: 1 images, 4 streams\n`,
    },
  },
  "gc/ref-target-dotdot": {
    0: { why: ROOT_UNKNOWN, rc: 1, stdout: "" },
    1: { why: ROOT_UNKNOWN, rc: 1, stdout: "" },
    2: { why: ROOT_UNKNOWN, rc: 1, stdout: "" },
    3: { why: "nothing was collected", stdout: fsckText("24/24", "5/5", "status: ok") },
  },
  "gc/ref-regular-file": collectedAnyway(
    fsckText(
      "22/22",
      "5/5",
      "status: 1 error(s)",
      "  - fsck: unexpected-file-type: streams/refs/file: RegularFile",
    ),
  ),
  "gc/stream-regular-file": collectedAnyway(
    fsckText("22/22", "5/6", "status: 1 error(s)", "  - fsck: entry-not-symlink: streams/plain"),
  ),
  "gc/object-bad-name": collectedAnyway(
    fsckText(
      "22/23",
      "5/5",
      "status: 1 error(s)",
      "  - fsck: object-invalid-name: objects/00/zz: Invalid string length",
    ),
  ),
  "gc/symlink-target-short": collectedAnyway(fsckText("22/22", "5/5", "status: ok"), PRUNED),
  "meta/old-format-upgrade": {
    3: { why: "only writing upgrades, and there was none: --no-upgrade still refuses", rc: 1, stdout: "" },
  },
  "meta/reset-metadata-other-algorithm": {
    2: { why: "objects of the other algorithm are strays", rc: 0, stdout: DRY + NOTHING },
  },
  "cli/layer-import": {
    3: { why: "the content of a layer must have the digest that is given", rc: 1, stdout: "" },
  },
  "cli/errors": {
    18: { why: "this program has a version of its own", stdout: null },
    19: { why: "this program has a version of its own", stdout: null },
  },
};

const UPGRADED_BY_READING = "reading does not write meta.json";

/** `area/case` → lines of the tree that are not there, or everything that is. */
const TREES: Record<string, { why: string; without?: (line: string) => boolean }> = {
  "images/import-image": {
    why: NOT_AN_IMAGE,
    without: (line) => line.includes("images") || /objects\/(3d|6e|70)/.test(line),
  },
  "cli/layer-import": {
    why: "a layer with the wrong digest is refused",
    without: (line) => line.includes("sha256:0000"),
  },
  "gc/stray-tmp-object": {
    why: "left-overs of interrupted work are collected too",
    without: (line) => line.includes(".tmp-object-"),
  },
  "meta/old-format-upgrade": {
    why: UPGRADED_BY_READING,
    without: (line) => line.endsWith(" meta.json"),
  },
  "meta/old-format-upgrade-sha512": {
    why: UPGRADED_BY_READING,
    without: (line) => line.endsWith(" meta.json"),
  },
};

/** Where the order of directory entries or hash tables shows in the reference's answer. */
function anyOrder({ argv, stdout_unordered_lines: unordered }: Step): boolean {
  return unordered === true || argv.some((word) => ["fsck", "images", "list-images"].includes(word));
}

function exceptionFor(key: string, index: number, step: Step): Exception | undefined {
  const own = STEPS[key]?.[index];
  if (own !== undefined) return own;
  // The repository of every case about meta.json is also written to, with an image of three bytes.
  const writesJunk = step.argv.includes("import-image") && step.stdin_hex === "616263" && step.rc === 0;
  return writesJunk ? { why: NOT_AN_IMAGE, rc: 1, stdout: "" } : undefined;
}

function checkAnswer(answer: Answer, step: Step, exception: Exception | undefined): void {
  const what = `${step.argv.join(" ")}\n${answer.stderr}`;
  expect(`${answer.rc} ${what}`).toBe(`${exception?.rc ?? step.rc} ${what}`);
  if (step.stdout_varies) return;
  if (exception?.stdout === null) return;
  if (exception?.stdout !== undefined) {
    expect(answer.stdout.toString()).toBe(exception.stdout);
    return;
  }
  if (step.stdout_sha256 !== undefined) {
    expect(new Bun.SHA256().update(answer.stdout).digest("hex")).toBe(step.stdout_sha256);
    return;
  }
  const expected =
    step.stdout_hex === undefined ? Buffer.from(step.stdout ?? "") : Buffer.from(step.stdout_hex, "hex");
  const shape = (bytes: Buffer) =>
    anyOrder(step) ? bytes.toString("latin1").split("\n").sort().join("\n") : bytes.toString("latin1");
  expect(shape(answer.stdout)).toBe(shape(expected));
}

async function checkCase(area: string, testCase: Case, run: Runner): Promise<void> {
  const key = `${area}/${testCase.name}`;
  const missing = testCase.steps.find((step) => !isKnown(step));
  if (missing !== undefined) {
    console.log(`skipped: ${key}: this version has no command for '${missing.argv.join(" ")}'`);
    return;
  }
  if (testCase.env?.COMPLETE !== undefined) {
    console.log(`skipped: ${key}: completion has tests of its own`);
    return;
  }
  if (testCase.name === "no-verity-filesystem" && hasVerity()) {
    console.log(`skipped: ${key}: the temporary directory has fs-verity`);
    return;
  }
  using scratch = new Scratch();
  prepare(testCase, scratch.path);
  for (const [index, step] of testCase.steps.entries()) {
    const exception = exceptionFor(key, index, step);
    // Reads standard input, which this process can't lend.
    const readsStdin = step.rc === 0 && READ_STDIN.some((word) => step.argv.includes(word));
    const runner = readsStdin && run === inProcess ? FROM_SOURCE : run;
    checkAnswer(await runner(step, scratch.path), step, exception);
  }
  if (testCase.tree_after !== undefined) {
    const without = TREES[key]?.without ?? (() => false);
    expect(treeOf(scratch.join("r"))).toEqual(testCase.tree_after.filter((line) => !without(line)));
  }
}

function hasVerity(): boolean {
  using scratch = new Scratch();
  try {
    initRepository(scratch.join("r"), { algorithm: SHA256, erofsVersion: 1, verity: true });
    return true;
  } catch {
    return false;
  }
}

const READ_STDIN = ["import-image", "import-layer"];
const FROM_SOURCE = spawned(process.execPath, join(import.meta.dir, "../../src/main.ts"));

let umask: number;
let home: string | undefined;
beforeAll(() => {
  umask = process.umask(0o22);
  home = process.env.HOME;
  process.env.HOME = "/nonexistent-home";
});
afterAll(() => {
  process.umask(umask);
  process.env.HOME = home;
});

const AREAS = ["fsck", "splitstream", "cat", "images", "gc", "meta", "init", "cli"];

describe.each(AREAS)("answers of composefs-rs 0.9.4: %s", (area) => {
  test.each(readCases(area))("$name", async (testCase) => {
    await checkCase(area, testCase, inProcess);
  });
});

test("exceptions belong to cases that exist", () => {
  const cases = new Map(AREAS.flatMap((area) => readCases(area).map((c) => [`${area}/${c.name}`, c])));
  for (const [key, steps] of Object.entries(STEPS)) {
    for (const index of Object.keys(steps)) expect(cases.get(key)?.steps[Number(index)]).toBeDefined();
  }
  for (const key of Object.keys(TREES)) expect(cases.get(key)?.tree_after).toBeDefined();
});

describe("the compiled program", () => {
  const sample: [string, string][] = [
    ["fsck", "healthy-sha512"],
    ["fsck", "bitflip-object"],
    ["splitstream", "ss-good"],
    ["cat", "layer"],
    ["images", "list"],
    ["images", "import-image"],
    ["gc", "untagged-oci"],
    ["init", "fresh"],
    ["cli", "errors"],
  ];
  test.each(sample)("%s: %s", async (area, name) => {
    const testCase = readCases(area).find((candidate) => candidate.name === name)!;
    await checkCase(area, testCase, spawned(CFSCTL));
  });
});
