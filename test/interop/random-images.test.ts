import { expect, test } from "bun:test";
import { CFSCTL } from "../support/cfsctl.ts";
import { Choices } from "../support/choices.ts";
import { type ImageSpec, writeLayout } from "../support/oci-layout.ts";
import { PACKINGS, randomLayers, randomTar } from "../support/random-layers.ts";
import { findReference } from "../support/reference.ts";
import { repositoryContent } from "../support/repository-content.ts";
import { tempDirInMemory } from "../support/temp.ts";

const SEED = Number(process.env.TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
const IMAGES = Number(process.env.TEST_IMAGES ?? 20);

/** Files are shared within an image only: the reference keeps those of images that it refuses. */
function randomImage(index: number, choices: Choices): ImageSpec {
  const layers = randomLayers(index, choices).map((items) => ({
    tar: randomTar(items, choices),
    packing: choices.of(PACKINGS),
  }));
  return { tag: `t${index}`, layers };
}

const reference = findReference();
if (reference === undefined) console.log("skipped: needs the reference (test/interop/install-reference)");

test.skipIf(reference === undefined)(
  "what the reference makes of random images, we make of them too",
  () => {
    console.log(`TEST_SEED=${SEED}`);
    using scratch = tempDirInMemory(300e6);
    const choices = new Choices(SEED);
    const images = Array.from({ length: IMAGES }, (_, i) => randomImage(i, choices));
    writeLayout(scratch.join("layout"), images);
    const run = (program: string, repository: string, ...args: string[]) => {
      const result = Bun.spawnSync([program, "--repo", scratch.join(repository), ...args], {
        env: { ...process.env, RUST_BACKTRACE: "0" },
        stderr: "pipe",
      });
      return {
        code: result.exitCode,
        stdout: result.stdout.toString("latin1"),
        stderr: result.stderr.toString(),
      };
    };
    for (const [program, repository] of [
      [CFSCTL, "ours"],
      [reference!, "theirs"],
    ] as const) {
      run(program, repository, "init", "--insecure", "--algorithm", "fsverity-sha256-12");
    }
    let pulled = 0;
    for (const { tag } of images) {
      const pull = ["oci", "pull", `oci:${scratch.join("layout")}:${tag}`, tag];
      const theirs = run(reference!, "theirs", ...pull);
      if (theirs.code !== 0) continue;
      pulled++;
      const ours = run(CFSCTL, "ours", ...pull);
      const lines = ({ stdout }: { stdout: string }) =>
        stdout.split("\n").filter((line) => !/^verity /.test(line));
      expect(lines(ours), `${tag}: ${ours.stderr}`).toEqual(lines(theirs));
      for (const xattrs of ["allowlist-only", "keep-user-xattrs"]) {
        const dump = ["oci", "dump", "--xattrs", xattrs, tag];
        expect(run(CFSCTL, "ours", ...dump), tag).toEqual(run(reference!, "theirs", ...dump));
      }
      for (const version of ["0", "1", "2"]) {
        const id = ["--erofs-version", version, "oci", "compute-id", tag];
        expect(run(CFSCTL, "ours", ...id), tag).toEqual(run(reference!, "theirs", ...id));
      }
    }
    expect(pulled).toBeGreaterThan(IMAGES / 3);
    for (const [program, repository] of [
      [CFSCTL, "ours"],
      [reference!, "theirs"],
    ] as const) {
      // each also finds the other's work sound; layers of images that were refused are collected
      for (const checker of [CFSCTL, reference!])
        expect(run(checker, repository, "oci", "fsck").code).toBe(0);
      run(program, repository, "gc");
    }
    expect(repositoryContent(scratch.join("ours"), "sha256")).toEqual(
      repositoryContent(scratch.join("theirs"), "sha256"),
    );
  },
  600_000,
);
