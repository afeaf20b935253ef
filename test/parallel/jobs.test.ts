import { expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { acquireJobs } from "../../src/parallel/jobs.ts";
import { testNeeding } from "../support/skip.ts";

const cpus = availableParallelism();

test("what was asked for is used", () => {
  using jobs = acquireJobs(7, { MAKEFLAGS: "-j2 --jobserver-auth=3,4" });
  expect(jobs.count).toBe(7);
});

test("a make without parallelism gives one job", () => {
  using jobs = acquireJobs(undefined, { MAKEFLAGS: " -j1 -- X=1" });
  expect(jobs.count).toBe(1);
});

test("without make it is the number of CPUs", () => {
  for (const MAKEFLAGS of [
    undefined,
    "",
    "-j",
    "--jobserver-auth=fifo:/does/not/exist",
    "--jobserver-auth=odd",
  ]) {
    using jobs = acquireJobs(undefined, { MAKEFLAGS });
    expect(jobs.count).toBe(cpus);
  }
});

test("a file that happens to have the number of make's pipe is left alone", () => {
  const directory = mkdtempSync(join(tmpdir(), "cfsctl-jobs-"));
  const path = join(directory, "file");
  writeFileSync(path, "precious");
  const fd = openSync(path, "r+");
  {
    using jobs = acquireJobs(undefined, { MAKEFLAGS: `-j9 --jobserver-auth=${fd},${fd}` });
    expect(jobs.count).toBe(cpus);
  }
  {
    using jobs = acquireJobs(undefined, { MAKEFLAGS: `-j9 --jobserver-auth=fifo:${path}` });
    expect(jobs.count).toBe(cpus);
  }
  closeSync(fd);
  expect(readFileSync(path, "utf8")).toBe("precious");
  rmSync(directory, { recursive: true });
});

/** Runs a script below GNU make with `-jN`, twice in one recipe: the second must find what the first gave back. */
function belowMake(n: number): string[] {
  const script = `const { acquireJobs } = await import(${JSON.stringify(join(import.meta.dir, "../../src/parallel/jobs.ts"))});
    for (let i = 0; i < 2; i++) { using jobs = acquireJobs(undefined); console.log(jobs.count); }`;
  const makefile = `all:\n\t+@${process.execPath} -e '${script.replaceAll("$", "$$$$").replaceAll("\n", " ")}'\n`;
  const make = Bun.spawnSync(["make", "--no-print-directory", `-j${n}`, "-f", "-"], {
    stdin: Buffer.from(makefile),
  });
  return make.stdout.toString().trim().split("\n");
}

testNeeding({ tool: "make" })("make's job server decides, and gets its jobs back", () => {
  expect(belowMake(2)).toEqual(Array(2).fill(`${Math.min(2, cpus)}`));
  expect(belowMake(64)).toEqual(Array(2).fill(`${cpus}`));
});
