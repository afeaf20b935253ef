import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { initRepository } from "../../src/repository/init.ts";
import { SHA256, SHA512 } from "../../src/verity/digest.ts";
import { Scratch } from "../repository/support.ts";
import { inProcess, spawned } from "../repository/vector-runner.ts";
import { FIXTURES, unpack } from "./support.ts";

interface Step {
  argv: string[];
  exit: number;
  stdout: string | { sha256: string; length: number };
  stdin?: string;
}

/** How this program differs from composefs-rs 0.9.4 in a step, and why. */
interface Difference {
  readonly why: string;
  readonly exit?: number;
  /** null: whatever it is. */
  readonly stdout?: string | null;
  readonly skip?: true;
}

const UNVERIFIED = "the digest of an imported layer is verified";
const COUNTS = "other steps left other things behind";
const TAG_NAME = "a tag name can't begin with '@': pull refuses it as tag does";

const DIFFERENCES: Record<number, Difference> = {
  37: { why: "the digest of a manifest is understood by every command", exit: 0, stdout: null },
  65: { why: "an image needs no /usr; see images.test.ts", skip: true },
  89: { why: TAG_NAME, exit: 1, stdout: "" },
  94: { why: UNVERIFIED, exit: 1, stdout: "" },
  96: { why: UNVERIFIED, exit: 1, stdout: "" },
  97: { why: UNVERIFIED, exit: 1, stdout: "" },
  105: { why: COUNTS, stdout: null },
  106: { why: COUNTS, stdout: null },
  110: { why: COUNTS, stdout: null },
  112: { why: COUNTS, stdout: null },
  113: { why: TAG_NAME, exit: 0, stdout: null },
  114: { why: TAG_NAME, exit: 1, stdout: "" },
  115: { why: COUNTS, stdout: null },
  117: { why: COUNTS, stdout: null },
};

/** Brings an answer into a form that does not depend on order, counts or intermediate streams. */
function normalize(text: string, { argv }: Step): string {
  const command = argv.slice(argv.indexOf("oci"));
  // composefs-rs prints the id of a stream that is replaced before the command ends.
  if (command[1] === "copy")
    return text
      .replace(/^(Copied image .* from ).*( to .*)$/m, "$1REPO$2")
      .replace(/^Manifest verity: .*$/m, "");
  if (command[1] === "pull") return text.replace(/^verity .*\n/m, "");
  if (command[1] === "linked-erofs-images" && text !== "") {
    // The order of bootable images depends on a random seed there.
    const linked: { id: string }[] = JSON.parse(text);
    return JSON.stringify(linked.sort((a, b) => (a.id < b.id ? -1 : 1)));
  }
  if (command[1] === "fsck")
    return text
      .replace(/^objects: (\d+)\/\1 ok/gm, "objects: <N>/<N> ok")
      .replace(/"objects_checked": \d+/, '"objects_checked": "<N>"');
  if (command[1] !== "images" || text === "") return text;
  if (!command.includes("--json")) return text.split("\n").sort().join("\n");
  const { images } = JSON.parse(text) as { images: { name: string }[] };
  // Members that composefs-rs does not have come behind its own.
  const shared = images.map((image) => Object.entries(image).slice(0, 8));
  return JSON.stringify(shared.sort(([[, a]], [[, b]]) => (a < b ? -1 : 1)));
}

const MAIN = join(import.meta.dir, "../../src/main.ts");

for (const algorithm of [SHA256, SHA512]) {
  const { hash } = algorithm;
  const steps: Step[] = JSON.parse(readFileSync(join(FIXTURES, "transcripts", `${hash}.json`), "utf8"));
  describe(`transcript in a ${hash} repository`, () => {
    const scratch = new Scratch();
    const stdin: Record<string, Uint8Array> = { empty: new Uint8Array(0) };
    beforeAll(() => {
      for (const name of ["basic", "xattrs", "no-usr", "whiteouts", "bootable"])
        unpack(join(FIXTURES, "images", `${name}.tar`), scratch.join(name));
      copyFileSync(join(FIXTURES, "images/basic.tar"), scratch.join("basic.tar"));
      for (const name of ["R1", "R2"])
        initRepository(scratch.join(name), { algorithm, erofsVersion: 1, verity: false });
      const plainLayer = "e6301b8836d780fd8453f106af3d2715fe31e5df53419f496829e5d8f920cc78";
      stdin["third layer of basic"] = readFileSync(scratch.join("basic/blobs/sha256", plainLayer));
    });
    afterAll(() => scratch[Symbol.dispose]());

    for (const [index, step] of steps.entries()) {
      const difference = DIFFERENCES[index];
      const title = `${index}: ${step.argv.slice(2).join(" ")}`;
      if (difference?.skip) {
        test.skip(`${title}: ${difference.why}`, () => {});
        continue;
      }
      test(difference === undefined ? title : `${title}: ${difference.why}`, async () => {
        const argv = step.argv.map((word) =>
          word === "$REPO2" ? scratch.join("R2") : word === "$REPO" ? scratch.join("R1") : word,
        );
        const input = step.stdin === undefined ? undefined : stdin[step.stdin]!;
        const runner = input === undefined ? inProcess : spawned(process.execPath, MAIN);
        const stdinHex = Buffer.from(input ?? []).toString("hex");
        const answer = await runner({ argv, rc: step.exit, stdin_hex: stdinHex }, scratch.path);
        expect(`${answer.rc} ${answer.stderr}`).toStartWith(String(difference?.exit ?? step.exit));
        const expected = difference?.stdout === undefined ? step.stdout : difference.stdout;
        if (expected === null) return;
        if (typeof expected === "string") {
          expect(normalize(answer.stdout.toString(), step)).toBe(normalize(expected, step));
          return;
        }
        const sha256 = createHash("sha256").update(answer.stdout).digest("hex");
        expect({ sha256, length: answer.stdout.length }).toEqual(expected);
      });
    }
  });
}
