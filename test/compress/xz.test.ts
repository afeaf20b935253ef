import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { inflateXz } from "../../src/compress/xz.ts";
import { compressXz } from "../../src/compress/xz-writer.ts";
import { CfsError } from "../../src/errors.ts";
import { testNeeding } from "../support/skip.ts";

async function inflated(bytes: Uint8Array, pieceSize = 4096): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  const input = (function* () {
    for (let at = 0; at < bytes.length; at += pieceSize) yield bytes.subarray(at, at + pieceSize);
  })();
  await inflateXz(input, (piece) => pieces.push(piece.slice()));
  return Buffer.concat(pieces);
}

function noise(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0, x = 1; i < size; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

const text = Buffer.from(Array.from({ length: 5000 }, (_, i) => `line ${i * 7919} of ${i % 13}\n`).join(""));
const CASES: readonly (readonly [string, Uint8Array])[] = [
  ["nothing", new Uint8Array(0)],
  ["a byte", Uint8Array.of(7)],
  ["three bytes", Buffer.from("abc")],
  ["text", text],
  ["zeros, more than a chunk", new Uint8Array(3_000_000)],
  ["noise, several chunks", noise(200_000)],
  ["noise, then text, then noise", Buffer.concat([noise(70_000), text, noise(70_000), text])],
  ["a match farther back than the dictionary", Buffer.concat([text, new Uint8Array(9_000_000), text])],
  ["a program", readFileSync(process.execPath).subarray(0, 1_000_000)],
];

describe("the .xz format", () => {
  test.each(CASES)("%s is the same after compression", async (_, bytes) => {
    expect(Buffer.compare(await inflated(compressXz(bytes)), bytes)).toBe(0);
  });

  test("text and zeros become smaller", () => {
    expect(compressXz(text).length).toBeLessThan(text.length / 4);
    expect(compressXz(new Uint8Array(3_000_000)).length).toBeLessThan(1000);
  });

  testNeeding({ tool: "xz" })(
    "xz reads what we write",
    () => {
      for (const [name, bytes] of CASES) {
        const { stdout, exitCode } = Bun.spawnSync(["xz", "-dc"], { stdin: compressXz(bytes) });
        expect({ name, exitCode, same: Buffer.compare(stdout, bytes) }).toEqual({
          name,
          exitCode: 0,
          same: 0,
        });
      }
    },
    30_000,
  );

  testNeeding({ tool: "xz" })(
    "we read what xz writes",
    async () => {
      for (const option of ["-0", "-6", "-8", "-9", "--check=none", "--check=crc32"]) {
        const { stdout } = Bun.spawnSync(["xz", "-c", option], { stdin: text });
        expect({ option, same: Buffer.compare(await inflated(stdout, 100), text) }).toEqual({
          option,
          same: 0,
        });
      }
    },
    30_000,
  );

  test("any bytes are the same after compression", async () => {
    const repetitive = fc
      .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 12 }), fc.nat({ max: 60 })))
      .map((runs) => Buffer.concat(runs.map(([bytes, times]) => Buffer.concat(Array(times).fill(bytes)))));
    await fc.assert(
      fc.asyncProperty(repetitive, async (bytes) => {
        expect(Buffer.compare(await inflated(compressXz(bytes)), bytes)).toBe(0);
      }),
      { numRuns: 60 },
    );
  }, 30_000);

  test("damaged data is refused, or gives something of a size that is bounded", async () => {
    const good = compressXz(text);
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, difference) => {
        const changed = good.slice();
        changed[at]! ^= difference;
        try {
          expect((await inflated(changed)).length).toBeLessThanOrEqual(2 ** 21);
        } catch (error) {
          expect(error).toBeInstanceOf(CfsError);
        }
      }),
      { numRuns: 40 },
    );
  }, 30_000);

  test("data that ends too early is refused", async () => {
    const good = compressXz(text);
    for (const length of [0, 1, 11, 12, 24, 1000, good.length - 13, good.length - 1]) {
      await expect(inflated(good.subarray(0, length))).rejects.toThrow(
        "damaged xz data, or it ends too early",
      );
    }
  });

  test("what the receiver throws ends the work", async () => {
    const stop = inflateXz([compressXz(new Uint8Array(1_000_000))], () => {
      throw new CfsError("Corrupt", "enough");
    });
    await expect(stop).rejects.toThrow("enough");
    expect(Buffer.compare(await inflated(compressXz(text)), text)).toBe(0);
  });
});
