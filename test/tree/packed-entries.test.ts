import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Directory, directory, leaf, NO_XATTRS, type Node } from "../../src/tree/model.ts";
import { packEntries } from "../../src/tree/packed-entries.ts";

const STAT = { mode: 0o755, uid: 0, gid: 0, mtime: 0n, mtimeNsec: 0, xattrs: NO_XATTRS };
const file = () => leaf(STAT, { type: "fifo" });

function packed(names: readonly string[]): { directory: Directory; expected: Map<string, Node> } {
  const made = directory(STAT);
  for (const name of names) made.entries.set(name, file());
  const expected = new Map(made.entries);
  packEntries(made);
  return { directory: made, expected };
}

const names = fc.uniqueArray(
  fc.string({ minLength: 1, maxLength: 5, unit: fc.constantFrom("a", "b", "-", "\xff") }),
  {
    minLength: 8,
    maxLength: 40,
  },
);
const other = fc.string({ minLength: 1, maxLength: 5, unit: fc.constantFrom("a", "b", "-", "\xff") });

const sorted = (entries: Iterable<[string, Node]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1));

describe("packed entries", () => {
  test("are those of the map, in the order of names", () => {
    fc.assert(
      fc.property(names, other, (list, absent) => {
        const { directory, expected } = packed(list);
        const { entries } = directory;
        expect(entries).not.toBeInstanceOf(Map);
        expect(entries.size).toBe(expected.size);
        expect([...entries]).toEqual(sorted(expected));
        expect([...entries.keys()]).toEqual([...expected.keys()].sort());
        expect([...entries.values()].every((node, i) => node === sorted(expected)[i]![1])).toBeTrue();
        const visited: [string, Node][] = [];
        entries.forEach((node, name) => void visited.push([name, node]));
        expect(visited).toEqual([...entries]);
        for (const name of [...list, absent]) {
          expect(entries.get(name) === expected.get(name)).toBeTrue();
          expect(entries.has(name)).toBe(expected.has(name));
        }
      }),
    );
  });

  test("change as the map does", () => {
    const change = fc.record({
      what: fc.constantFrom("set", "delete", "set", "delete", "clear"),
      name: other,
      index: fc.option(fc.nat()),
    });
    fc.assert(
      fc.property(names, fc.array(change, { maxLength: 6 }), (list, changes) => {
        const { directory, expected } = packed(list);
        const { entries } = directory;
        for (const { what, name, index } of changes) {
          const wanted = index === null ? name : list[index % list.length]!;
          if (what === "clear") {
            entries.clear();
            expected.clear();
          } else if (what === "delete") {
            expect(entries.delete(wanted)).toBe(expected.delete(wanted));
          } else {
            const node = file();
            entries.set(wanted, node);
            expected.set(wanted, node);
          }
          expect(entries.size).toBe(expected.size);
          expect(sorted(entries).map(([n]) => n)).toEqual([...expected.keys()].sort());
          for (const [n, node] of entries) expect(expected.get(n) === node).toBeTrue();
        }
      }),
    );
  });

  test("may be taken away while they are visited", () => {
    const { entries } = packed([..."abcdefghij"]).directory;
    const visited: string[] = [];
    for (const [name] of entries) {
      visited.push(name);
      if (name > "c") entries.delete(name);
    }
    expect(visited.join("")).toBe("abcdefghij");
    expect([...entries.keys()]).toEqual(["a", "b", "c"]);
  });

  test("are not made of few", () => {
    expect(packed([..."abcdefg"]).directory.entries).toBeInstanceOf(Map);
  });
});
