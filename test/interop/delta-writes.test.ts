import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { CFSCTL, cfsctlOk, run } from "../support/cfsctl.ts";
import { type WrittenImage, writeLayout } from "../support/oci-layout.ts";
import { listObjects } from "../support/repository-content.ts";
import { addDelta, type DiffOp, tarDiff } from "../support/tar-diff.ts";
import { directory, file, noise, writeTar } from "../support/tar-writer.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

const strace = Bun.which("strace");
if (strace === null) console.log("skipped: needs strace");

const OLD = noise(20_000_000, 1);
const CHANGED = OLD.slice(0, 3_000_000);
CHANGED[1_000_000]! ^= 1;
const NEW = noise(2_000_000, 2);

let scratch: TempDir;
beforeAll(() => {
  scratch = tempDirInMemory(150e6);
  const tar = writeTar([
    directory("usr/"),
    file("usr/copied", OLD),
    file("usr/changed", CHANGED),
    file("usr/new", NEW),
  ]);
  const [source, target] = writeLayout(scratch.join("layout"), [
    { tag: "1", layers: [{ tar: writeTar([directory("usr/"), file("usr/old", OLD)]), packing: "plain" }] },
    { tag: "2", layers: [{ tar, packing: "plain" }] },
  ]) as [WrittenImage, WrittenImage];
  const afterCopy = tar.indexOf(OLD) + OLD.length;
  const changedAt = tar.indexOf(CHANGED, afterCopy);
  const addends = new Uint8Array(CHANGED.length);
  addends[1_000_000] = CHANGED[1_000_000]! - OLD[1_000_000]!;
  const ops: DiffOp[] = [
    { op: "data", bytes: tar.subarray(0, afterCopy - OLD.length) },
    { op: "open", name: "usr/old" },
    { op: "copy", size: OLD.length },
    { op: "data", bytes: tar.subarray(afterCopy, changedAt) },
    { op: "seek", size: 0 },
    { op: "add", bytes: addends },
    { op: "data", bytes: tar.subarray(changedAt + CHANGED.length) },
  ];
  const layers = { 0: { blob: tarDiff(1, ops) } };
  addDelta({ layout: scratch.join("layout"), source, target, layers, tag: "1to2" });
});
afterAll(() => scratch[Symbol.dispose]());

/** Bytes that a program and its threads gave the kernel to be written. */
async function writtenBy(command: readonly string[]): Promise<number> {
  const log = scratch.join("strace.log");
  const calls = "trace=write,writev,pwrite64,pwritev,pwritev2,copy_file_range,sendfile,splice";
  const { code, stderr } = await run([strace!, "-f", "-qq", "-o", log, "-e", calls, ...command]);
  expect(code, stderr).toBe(0);
  const results = readFileSync(log, "latin1").matchAll(/\) += (\d+)$/gm);
  return [...results].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}

test.skipIf(strace === null)(
  "applying a delta writes little more than the new objects",
  async () => {
    const repository = scratch.join("repository");
    cfsctlOk(["--repo", repository, "init", "--insecure"]);
    cfsctlOk(["--repo", repository, "oci", "pull", `oci:${scratch.join("layout")}:1`, "old"]);
    const before = new Set(listObjects(repository));
    const pull = ["oci", "pull", `oci:${scratch.join("layout")}:1to2`, "new"];
    const written = await writtenBy([CFSCTL, "--repo", repository, "--jobs", "2", ...pull]);
    const added = listObjects(repository).filter((path) => !before.has(path));
    const bytes = added.reduce((sum, path) => sum + statSync(join(repository, "objects", path)).size, 0);
    expect(bytes).toBeGreaterThan(CHANGED.length + NEW.length);
    expect(bytes).toBeLessThan(CHANGED.length + NEW.length + 100_000);
    expect(written).toBeLessThan(1.1 * bytes);
  },
  60_000,
);
