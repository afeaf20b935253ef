import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, rmSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { collectGarbage } from "../../src/repository/gc.ts";
import { ReferenceGraph } from "../../src/repository/live-objects.ts";
import { Repository } from "../../src/repository/repository.ts";
import { measureUsage } from "../../src/repository/usage/usage.ts";
import { UserSets } from "../../src/repository/usage/user-sets.ts";
import type { ObjectId } from "../../src/verity/digest.ts";
import { DigestTable } from "../../src/verity/digest-table.ts";
import { type TempDir, tempDir } from "../support/temp.ts";
import { FIXTURES } from "./vector-runner.ts";

/** A copy of a repository that composefs-rs has made. */
function unpack(dir: TempDir, name: string): string {
  const archive = join(FIXTURES, "repos", `${name}.tar.gz`);
  expect(spawnSync("tar", ["-xzf", archive, "-C", dir.path]).status).toBe(0);
  return dir.join("r");
}

function measure(path: string) {
  const repository = Repository.open(path);
  const graph = new ReferenceGraph(repository);
  const ids = [...new Set(graph.roots().flatMap(({ id }) => id ?? []))];
  return { repository, ids, usage: measureUsage(repository, ids) };
}

function objectFiles(path: string): { id: ObjectId; size: number }[] {
  if (!existsSync(join(path, "objects"))) return [];
  return readdirSync(join(path, "objects"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.length > 60)
    .map((name) => ({
      id: name.replace("/", "") as ObjectId,
      size: statSync(join(path, "objects", name)).size,
    }));
}

describe.each(["full-sha256", "full-sha512", "mini", "empty-sha512", "gc-untagged-oci"])("%s", (name) => {
  test("everything is counted once, and what nothing needs is what gc removes", () => {
    using dir = tempDir();
    const path = unpack(dir, name);
    const { repository, ids, usage } = measure(path);
    using opened = repository;
    const files = objectFiles(path);
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    expect(usage.total).toEqual({ count: files.length, bytes });
    const { file, image, stream } = usage.used;
    expect(file.count + image.count + stream.count + usage.unused.count).toBe(files.length);
    expect(usage.roots.reduce((sum, { added }) => sum + added.bytes, 0)).toBe(bytes - usage.unused.bytes);
    for (const { needs, own, added, missing, unreadable } of usage.roots) {
      expect({ missing, unreadable }).toEqual({ missing: 0, unreadable: undefined });
      expect(own.bytes).toBeLessThanOrEqual(added.bytes);
      expect(added.bytes).toBeLessThanOrEqual(needs.bytes);
    }
    const shared = usage.sharedBytes(ids.map((_, i) => i));
    for (const [i, { needs }] of usage.roots.entries()) {
      expect(shared[i]![i]).toBe(needs.bytes);
      for (const j of ids.keys()) expect(shared[i]![j]).toBe(shared[j]![i]!);
    }
    const removed = collectGarbage(opened, { dryRun: true });
    expect(usage.unused).toEqual({ count: removed.objectsRemoved, bytes: removed.bytesRemoved });
  });
});

test("a root needs what the graph of references says, and each object knows who needs it", () => {
  using dir = tempDir();
  const path = unpack(dir, "full-sha256");
  const { repository, ids, usage } = measure(path);
  using opened = repository;
  const graph = new ReferenceGraph(opened);
  const sizes = new Map(objectFiles(path).map(({ id, size }) => [id, size]));
  for (const [i, id] of ids.entries()) {
    const root = graph.roots().find((r) => r.id === id)!;
    const expected = new DigestTable(opened.algorithm.size);
    const unreadable: string[] = [];
    graph.walk(
      root,
      new Set(),
      { one: (object) => void expected.indexOf(object), many: (digests) => expected.addAll(digests) },
      (why) => void unreadable.push(why),
    );
    expect(unreadable).toEqual([]);
    const bytes = [...expected].reduce((sum, object) => sum + sizes.get(object)!, 0);
    expect(usage.roots[i]!.needs).toEqual({ count: expected.length, bytes });
  }
  const largest = usage.largestFiles(3);
  expect(largest.map(({ size }) => size)).toEqual(largest.map(({ size }) => size).sort((a, b) => b - a));
  expect(largest[0]!.roots.length).toBeGreaterThan(0);
  expect(sizes.get(largest[0]!.id)).toBe(largest[0]!.size);
});

test("what is missing or damaged is told, and the rest counted", () => {
  using dir = tempDir();
  const path = unpack(dir, "full-sha256");
  const before = measure(path);
  before.repository[Symbol.dispose]();
  const victim = before.usage.largestFiles(1)[0]!;
  unlinkSync(join(path, "objects", victim.id.slice(0, 2), victim.id.slice(2)));
  const after = measure(path);
  using _ = after.repository;
  for (const root of victim.roots) expect(after.usage.roots[root]!.missing).toBe(1);
  rmSync(join(path, "objects"), { recursive: true });
  const { usage } = measure(path);
  expect(usage.total).toEqual({ count: 0, bytes: 0 });
  for (const { unreadable } of usage.roots) expect(unreadable).toContain("is missing");
});

test("sets of users are those of a plain map of sets", () => {
  const uses = fc.array(fc.uniqueArray(fc.nat(19), { maxLength: 20 }), { maxLength: 8 });
  fc.assert(
    fc.property(uses, (users) => {
      const sets = new UserSets(20);
      const plain = new Map<number, number[]>();
      for (const objects of users) {
        const user = sets.nextUser();
        for (const object of [...objects, ...objects]) {
          const known = plain.get(object) ?? [];
          const isKnown = known.includes(user);
          expect(sets.use(object)).toEqual({ isNew: !isKnown, isFirst: known.length === 0 });
          if (!isKnown) plain.set(object, [...known, user]);
        }
      }
      for (let object = 0; object < 20; object++)
        expect(sets.usersOf(object)).toEqual(plain.get(object) ?? []);
      const amounts = [...sets.amounts((object) => object + 1)];
      const total = amounts.reduce((sum, { amount }) => sum + amount.bytes, 0);
      expect(total).toBe([...plain.keys()].reduce((sum, object) => sum + object + 1, 0));
      expect(new Set(amounts.map((a) => a.users.join())).size).toBe(amounts.length);
    }),
  );
});
