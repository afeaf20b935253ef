import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listRepository, makeSampleRepository, type SampleRepository } from "../repair/sample-repository.ts";
import { CFSCTL, cfsctl, cfsctlOk, run } from "../support/cfsctl.ts";
import { findReference } from "../support/reference.ts";
import { type TempDir, tempDirInMemory } from "../support/temp.ts";

const REFERENCE = findReference();
if (REFERENCE === undefined) console.log("skipped: beside the reference (test/interop/install-reference)");

let scratch: TempDir;
let sample: SampleRepository;
let path: string;

beforeAll(async () => {
  scratch = tempDirInMemory(64 << 20);
  sample = await makeSampleRepository(scratch.path, "sha256");
  path = scratch.join("copy");
});
afterAll(() => scratch[Symbol.dispose]());
beforeEach(() => {
  rmSync(path, { recursive: true, force: true });
  expect(Bun.spawnSync(["cp", "-a", sample.path, path]).success).toBe(true);
});

const ok = (...args: string[]) => cfsctlOk(["--repo", path, ...args]);

describe("gc", () => {
  test("lists what it removes, and a dry run the same", () => {
    ok("oci", "untag", "one");
    ok("oci", "untag", "registry.example/one:1.0");
    writeFileSync(join(path, "objects/.tmp-object-abc"), "left over");
    symlinkSync("../nowhere", join(path, "streams/leads-nowhere"));
    const before = listRepository(path);
    const dry = ok("gc", "--dry-run", "--list").split("\n");
    const dryJson = JSON.parse(ok("gc", "--dry-run", "--list", "--json"));
    expect(listRepository(path)).toEqual(before);
    expect(dry.shift()).toBe("Dry run (no files deleted):");
    const [list, summary] = [dry.slice(0, -3), dry.slice(-3)];
    const real = ok("gc", "--list").split("\n");
    expect(real).toEqual(dry);
    const left = new Set(listRepository(path));
    const removed = before.filter((name) => !left.has(name));
    expect(list.toSorted()).toEqual(removed);
    expect(removed).toContain("objects/.tmp-object-abc");
    expect(removed).toContain("streams/leads-nowhere");
    const objects = removed.filter((name) => /^objects\/[0-9a-f]{2}\//.test(name));
    expect(dryJson).toMatchObject({ dry_run: true, objects_removed: objects.length, removed: list });
    expect(summary[0]).toBe(`Objects: ${objects.length} removed (${dryJson.bytes_removed} bytes)`);
    expect(ok("gc", "--json", "--list")).toContain('"removed": []');
  });

  test("--why names everything that keeps an object, and nothing that keeps none", () => {
    const names = (object: string) =>
      sample.refs.filter((ref) => sample.needs.get(ref)!.has(object)).toSorted();
    for (const object of sample.objects) {
      const id = object.slice("objects/".length).replace("/", "");
      const { kept_by } = JSON.parse(ok("gc", "--why", id, "--json"));
      expect(kept_by.map(({ root }: { root: string }) => root).toSorted()).toEqual(names(object));
    }
    expect(cfsctl(["--repo", path, "gc", "--why", "0".repeat(64)]).code).toBe(1);
  });
});

test("image-objects are sorted, and are what the image keeps", () => {
  const objects = ok("image-objects", "refs/os/tree").trim().split("\n");
  expect(objects).toEqual(objects.toSorted());
  const needed = [...sample.needs.get("images/refs/os/tree")!].filter((name) => name.startsWith("objects/"));
  const image = JSON.parse(ok("images", "--json")).images[0].digest;
  const ids = needed.map((name) => `sha256:${name.slice("objects/".length).replace("/", "")}`);
  expect([...objects, `sha256:${image}`].toSorted()).toEqual(ids.toSorted());
});

/** Waits until a process holds a lock on a file. */
async function untilLocked(pid: number): Promise<void> {
  while (!new RegExp(`FLOCK .* ${pid} `).test(readFileSync("/proc/locks", "utf8"))) await Bun.sleep(5);
}

describe.each([
  ["our transaction", CFSCTL, CFSCTL],
  ["our transaction, composefs-rs", CFSCTL, REFERENCE],
  ["the transaction of composefs-rs, our", REFERENCE, CFSCTL],
])("%s gc", (_, holder, collector) => {
  test.skipIf(holder === undefined || collector === undefined)(
    "waits, however many there are, and goes on when they end",
    async () => {
      ok("oci", "untag", "two");
      const before = listRepository(path);
      const holders = [0, 1].map(() =>
        Bun.spawn([holder!, "--repo", path, "transaction"], { stdout: "pipe", stderr: "ignore" }),
      );
      for (const { pid } of holders) await untilLocked(pid);
      let isDone = false;
      const collecting = run([collector!, "--repo", path, "gc"]).then((result) => {
        isDone = true;
        return result;
      });
      for (const child of holders) {
        await Bun.sleep(150);
        expect({ isDone, files: listRepository(path) }).toEqual({ isDone: false, files: before });
        child.kill("SIGTERM");
        expect([await child.exited, await new Response(child.stdout).text()]).toEqual([143, ""]);
      }
      expect((await collecting).code).toBe(0);
      expect(listRepository(path).length).toBeLessThan(before.length);
      expect(ok("fsck")).toContain("status: ok");
    },
  );
});
