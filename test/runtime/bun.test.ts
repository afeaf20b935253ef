import { describe, expect, test } from "bun:test";
import { parseArgs } from "node:util";

describe("hashing", () => {
  const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

  test("one-shot digests are written to the place that is given", () => {
    const out = new Uint8Array(32);
    Bun.SHA256.hash(new Uint8Array(0), out);
    expect(Buffer.from(out).toString("hex")).toBe(empty);
  });

  test("shared memory is hashed in place", () => {
    const shared = new Uint8Array(new SharedArrayBuffer(4096)).fill(1);
    const copy = new Uint8Array(shared);
    const [a, b] = [new Uint8Array(64), new Uint8Array(64)];
    Bun.SHA512.hash(shared as unknown as Uint8Array<ArrayBuffer>, a);
    Bun.SHA512.hash(copy, b);
    expect(a).toEqual(b);
  });

  test("a hasher starts anew after digest()", () => {
    const hasher = new Bun.CryptoHasher("sha256");
    hasher.update("x").digest("hex");
    expect(hasher.digest("hex")).toBe(empty);
  });
});

describe("text", () => {
  test.each([
    ["abc", 3],
    ["日本", 4],
    ["é", 1],
    ["e\u0301", 1],
  ])("%p is %i columns wide", (text, width) => {
    expect(Bun.stringWidth(text)).toBe(width);
  });
});

describe("tokens of parseArgs without its strict mode", () => {
  const options = { root: { type: "string", short: "r" }, dry: { type: "boolean", short: "n" } } as const;
  const tokens = (...args: string[]) =>
    parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true }).tokens.map((t) => ({
      ...t,
    }));

  test("an option takes the next word whatever it is", () => {
    expect(tokens("--root", "--dry")).toEqual([
      { kind: "option", name: "root", rawName: "--root", index: 0, value: "--dry", inlineValue: false },
    ]);
  });

  test("a switch shows the value that it should not have", () => {
    expect(tokens("--dry=yes")).toMatchObject([{ name: "dry", value: "yes", inlineValue: true }]);
  });

  test("letters are taken apart", () => {
    expect(tokens("-nrx")).toMatchObject([
      { name: "dry", rawName: "-n", index: 0 },
      { name: "root", rawName: "-r", value: "x", inlineValue: true, index: 0 },
    ]);
  });

  test("unknown options come without a value", () => {
    expect(tokens("--zzz", "a")).toMatchObject([
      { kind: "option", name: "zzz", rawName: "--zzz" },
      { kind: "positional", value: "a", index: 1 },
    ]);
  });
});
