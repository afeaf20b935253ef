import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CFSCTL } from "../support/cfsctl.ts";
import { Choices } from "../support/choices.ts";
import { findComposefs } from "../support/composefs.ts";
import { hasTool } from "../support/skip.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";
import { kernelDifferences } from "./erofs-mount.ts";
import { type RandomTree, randomTree } from "./random-dumpfile.ts";

/**
 * Made-up trees: our programs and those of composefs 1.0 give the same bytes, and fsck.erofs and the kernel find in them
 * what was made up. TEST_SEED repeats a run, TEST_TREES says how many.
 */
const SEED = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const TREES = Number(process.env.TEST_TREES ?? 30);
const VERSIONS: readonly (readonly string[])[] = [
  [],
  ["--min-version=1"],
  ["--min-version=0", "--max-version=0"],
];

const composefs = findComposefs();
if (composefs === undefined)
  console.log("skipped: composefs 1.0 is not there, see test/interop/install-composefs");

function run(
  program: string,
  argv0: string,
  args: readonly string[],
): { code: number; stdout: Buffer; stderr: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...args], { argv0 });
  return { code: exitCode, stdout, stderr: stderr.toString() };
}

const ours = (name: string, ...args: string[]) => run(CFSCTL, name, args);
const theirs = (name: string, ...args: string[]) => run(join(composefs!, name), name, args);

interface MadeTree extends RandomTree {
  readonly seed: number;
  readonly file: string;
  readonly versions: readonly string[];
}

function* madeTrees(dir: TempDir): Generator<MadeTree> {
  for (let i = 0; i < TREES; i++) {
    const seed = (SEED + i) >>> 0;
    const tree = randomTree(new Choices(seed));
    const file = dir.join("dumpfile");
    writeFileSync(file, tree.dumpfile, "latin1");
    yield { ...tree, seed, file, versions: VERSIONS[i % VERSIONS.length]! };
  }
}

describe(`${TREES} trees from seed ${SEED}`, () => {
  (composefs === undefined ? test.skip : test)(
    "mkcomposefs and composefs-info give the bytes that those of composefs 1.0 give",
    () => {
      using dir = tempDirInMemory(100e6);
      for (const { seed, file, versions } of madeTrees(dir)) {
        const make = ["--from-file", "--print-digest", ...versions, file];
        const [made, expected] = [
          ours("mkcomposefs", ...make, dir.join("ours")),
          theirs("mkcomposefs", ...make, dir.join("theirs")),
        ];
        expect({ seed, ...made }).toEqual({ seed, ...expected });
        const isSame = readFileSync(dir.join("ours")).equals(readFileSync(dir.join("theirs")));
        expect({ seed, versions, isSame }).toEqual({ seed, versions, isSame: true });
        for (const command of ["ls", "dump", "objects"]) {
          const [found, wanted] = [ours, theirs].map((by) => by("composefs-info", command, dir.join("ours")));
          if (!found!.stdout.equals(wanted!.stdout))
            expect({ seed, command, text: found!.stdout.toString("latin1") }).toEqual({
              seed,
              command,
              text: wanted!.stdout.toString("latin1"),
            });
          expect({ seed, command, code: found!.code }).toEqual({ seed, command, code: wanted!.code });
        }
      }
    },
    TREES * 1000,
  );

  const needed = ["fsck.erofs", "mount"].filter((tool) => !hasTool(tool));
  if (process.getuid?.() !== 0) needed.push("root");
  if (needed.length > 0) console.log(`skipped: needs ${needed.join(", ")}`);
  (needed.length > 0 ? test.skip : test)(
    "fsck.erofs accepts the images, and the kernel finds what was made up",
    () => {
      using dir = tempDirInMemory(100e6);
      mkdirSync(dir.join("mnt"));
      for (const { seed, file, versions, files } of madeTrees(dir)) {
        const image = dir.join("image");
        expect(ours("mkcomposefs", "--from-file", ...versions, file, image).stderr).toBe("");
        const checked = Bun.spawnSync(["fsck.erofs", image]);
        expect({
          seed,
          code: checked.exitCode,
          text: checked.exitCode === 0 ? "" : String(checked.stdout),
        }).toEqual({
          seed,
          code: 0,
          text: "",
        });
        expect({ seed, differences: kernelDifferences(image, dir.join("mnt"), files) }).toEqual({
          seed,
          differences: [],
        });
      }
    },
    TREES * 1000,
  );
});
