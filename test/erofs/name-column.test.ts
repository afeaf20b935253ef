import { expect, test } from "bun:test";
import fc from "fast-check";
import { NameColumn } from "../../src/erofs/name-column.ts";

const name = fc.uint8Array({ minLength: 1, maxLength: 255 }).map((bytes) => String.fromCharCode(...bytes));

test("every name comes back, and none runs into another", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(name, fc.constantFrom(".", "..", "...", ".a", "a.")), { maxLength: 50 }),
      (names) => {
        const column = new NameColumn(names.length);
        for (const [i, text] of names.entries()) column.set(i, text);
        for (const [i, text] of names.entries()) {
          expect(column.text(i)).toBe(text);
          expect(column.lengthOf(i)).toBe(text.length);
          expect(column.isDots(i)).toBe(text === "." || text === "..");
          const out = new Uint8Array(300);
          column.write(i, out, 7);
          expect(Buffer.from(out).latin1Slice(0, 7 + text.length + 1)).toBe(`${"\0".repeat(7)}${text}\0`);
        }
      },
    ),
  );
});

test("megabytes of names of all lengths", () => {
  const COUNT = 30_000;
  const nameOf = (i: number) => `${i}-`.padEnd((i % 250) + 6, "x");
  const column = new NameColumn(COUNT);
  for (let i = 0; i < COUNT; i++) column.set(i, nameOf(i));
  for (let i = 0; i < COUNT; i++)
    if (column.text(i) !== nameOf(i)) throw new Error(`name ${i}: ${column.text(i)}`);
  expect(column.text(COUNT - 1)).toBe(nameOf(COUNT - 1));
});

test("names that fill a piece to its end", () => {
  const column = new NameColumn(4200);
  for (let i = 0; i < 4200; i++) column.set(i, "n".repeat(i === 0 ? 1 : 256 - 1));
  const full = new NameColumn(8194);
  for (let i = 0; i < 8194; i++) full.set(i, String.fromCharCode(97 + (i % 26)).repeat(128));
  expect(column.text(4199)).toBe("n".repeat(255));
  for (const i of [8190, 8191, 8192, 8193])
    expect(full.text(i)).toBe(String.fromCharCode(97 + (i % 26)).repeat(128));
});
