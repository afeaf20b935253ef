import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { writeImage } from "../../../src/erofs/writer.ts";
import { CfsError } from "../../../src/errors.ts";
import { ByteAdder } from "../../../src/oci/delta/add-bytes.ts";
import { PatchInput } from "../../../src/oci/delta/patch-input.ts";
import { SourceFiles } from "../../../src/oci/delta/source-files.ts";
import { parseDigest } from "../../../src/oci/digest.ts";
import type { Repository } from "../../../src/repository/repository.ts";
import { O_RDONLY, open } from "../../../src/sys/file.ts";
import { directory, leaf } from "../../../src/tree/model.ts";
import { defaultRootStat } from "../../../src/tree/transform.ts";
import { SHA256 } from "../../../src/verity/digest.ts";
import { digestOf } from "../../support/oci-layout.ts";
import { type DiffOp, encodeOps, packOps, prefixedFrame, tarDiff } from "../../support/tar-diff.ts";
import { noise } from "../../support/tar-writer.ts";
import { type TempDir, tempDir } from "../../support/temp.ts";
import { newRepository } from "../support.ts";

/** Source files by path: kept in the image, small, larger than what is read at once. */
const FILES: Readonly<Record<string, Uint8Array>> = {
  tiny: noise(40, 1),
  small: noise(3000, 2),
  "dir/large": noise(700_000, 3),
};

let scratch: TempDir;
let repository: Repository;
let image: Uint8Array;
beforeAll(() => {
  scratch = tempDir();
  repository = newRepository(scratch.join("repository"), SHA256);
  const root = directory(defaultRootStat());
  const dir = directory(defaultRootStat());
  root.entries.set("dir", dir);
  for (const [path, bytes] of Object.entries(FILES)) {
    const name = path.split("/").at(-1)!;
    const content =
      bytes.length <= 64
        ? ({ type: "inline", data: Buffer.from(bytes).latin1Slice() } as const)
        : ({
            type: "external",
            id: repository.objects.storeBytes(bytes).id,
            size: BigInt(bytes.length),
          } as const);
    (path.includes("/") ? dir : root).entries.set(name, leaf(defaultRootStat(), content));
  }
  image = writeImage(root, 2, SHA256);
});
afterAll(() => {
  repository[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

interface Held {
  now: number;
  most: number;
}

/** Applies a tar-diff, in pieces of the given sizes. */
function apply(blob: Uint8Array, steps: readonly number[] = [1 << 20], held: Held = { now: 0, most: 0 }) {
  const path = scratch.join("blob");
  writeFileSync(path, blob);
  using file = open(path, O_RDONLY);
  const id = parseDigest(digestOf(blob));
  const location = { fd: file.fd, offset: 0, size: blob.length, digest: id, compression: "none" } as const;
  const memory = {
    take: (bytes: number) => {
      held.now += bytes;
      held.most = Math.max(held.most, held.now);
    },
    give: (bytes: number) => {
      held.now -= bytes;
    },
  };
  const input = new PatchInput(location, id, new SourceFiles(image, repository.objects), memory);
  try {
    const parts: Buffer[] = [];
    const target = new Uint8Array(new SharedArrayBuffer(1 << 20));
    for (let i = 0; ; i++) {
      const size = steps[i % steps.length]!;
      // Data comes to any place of the target.
      const start = i % 7;
      const end = Math.min(target.length, start + size);
      const filled = input.fill(target, start, end);
      parts.push(Buffer.from(target.slice(start, filled)));
      if (filled < end) break;
    }
    const output = Buffer.concat(parts);
    return { output, hash: input.finish(), objectAt: input.objectAt.bind(input) };
  } finally {
    input.close();
  }
}

/** What a list of operations makes, by the words of the format. */
function expected(ops: readonly DiffOp[], frames: ReadonlyMap<Uint8Array, Uint8Array>): Buffer {
  const parts: Uint8Array[] = [];
  let file = new Uint8Array(0);
  let position = 0;
  for (const op of ops) {
    switch (op.op) {
      case "data":
        parts.push(op.bytes);
        break;
      case "open":
        file = new Uint8Array(FILES[op.name]!);
        position = 0;
        break;
      case "copy":
        parts.push(file.subarray(position, position + op.size));
        position += op.size;
        break;
      case "add":
        parts.push(op.bytes.map((byte, i) => byte + file[position + i]!));
        position += op.bytes.length;
        break;
      case "seek":
        position = op.size;
        break;
      case "frame":
        parts.push(frames.get(op.payload)!);
        position = file.length;
        break;
    }
  }
  return Buffer.concat(parts);
}

/** A list of operations in which nothing is wrong, made from numbers. */
function makeOps(numbers: readonly number[]) {
  const frames = new Map<Uint8Array, Uint8Array>();
  let at = 0;
  const next = (below: number) => (numbers[at++ % numbers.length]! + at * 7919) % below;
  const paths = Object.keys(FILES);
  let name = paths[next(3)]!;
  let position = 0;
  const ops: DiffOp[] = [{ op: "open", name }];
  for (const _ of numbers) {
    const file = FILES[name]!;
    const left = Math.max(0, file.length - position);
    const size = next(4) === 0 ? left : next(left + 1);
    switch (next(7)) {
      case 0:
        ops.push({ op: "data", bytes: noise(next(200_000), next(1000)) });
        break;
      case 1:
        name = paths[next(3)]!;
        position = 0;
        ops.push({ op: "open", name });
        break;
      case 2:
      case 3:
        ops.push({ op: "copy", size });
        position += size;
        break;
      case 4:
        ops.push({ op: "add", bytes: next(2) === 0 ? new Uint8Array(size) : noise(size, next(1000)) });
        position += size;
        break;
      case 5:
        position = next(file.length + 1);
        ops.push({ op: "seek", size: position });
        break;
      default: {
        const content = Buffer.concat([file.subarray(next(file.length)), noise(next(500), 9)]);
        const junk = noise(next(3) * 50, 8);
        const payload = Buffer.concat([prefixedFrame(content, file), junk]);
        frames.set(payload, content);
        ops.push({ op: "frame", payload });
        position = file.length;
      }
    }
  }
  return { ops, frames };
}

const NUMBERS = fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: 25 });
const STEPS = fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 5 });

describe("operations", () => {
  test("make what they say, however it is asked for", () => {
    fc.assert(
      fc.property(NUMBERS, STEPS, (numbers, steps) => {
        const { ops, frames } = makeOps(numbers);
        const want = expected(ops, frames);
        const held = { now: 0, most: 0 };
        const { output, hash } = apply(
          tarDiff(2, ops),
          want.length > 100_000 ? [250_000, ...steps] : steps,
          held,
        );
        expect(output.equals(want)).toBe(true);
        expect(`sha256:${hash}`).toBe(digestOf(want));
        expect(held.now).toBe(0);
      }),
      { numRuns: 60 },
    );
  }, 30_000);

  test("a file that is copied whole is known by its object", () => {
    const large = FILES["dir/large"]!;
    const { id } = repository.objects.storeBytes(large);
    const { objectAt } = apply(
      tarDiff(1, [
        { op: "data", bytes: noise(100, 1) },
        { op: "open", name: "dir/large" },
        { op: "copy", size: large.length },
        { op: "seek", size: 0 },
        { op: "copy", size: large.length },
        { op: "copy", size: 0 },
        { op: "seek", size: 1 },
        { op: "copy", size: large.length - 1 },
        { op: "open", name: "tiny" },
        { op: "copy", size: 40 },
      ]),
    );
    expect(objectAt(100, large.length)).toBe(id);
    expect(objectAt(100 + large.length, large.length)).toBe(id);
    expect(objectAt(100 + large.length, large.length - 1)).toBeUndefined();
    expect(objectAt(100 + 2 * large.length, large.length - 1)).toBeUndefined();
    expect(objectAt(99 + 3 * large.length, 40)).toBeUndefined();
  });

  test("a frame is accounted for with its prefix and its history", () => {
    const large = FILES["dir/large"]!;
    const held = { now: 0, most: 0 };
    apply(
      tarDiff(2, [
        { op: "open", name: "dir/large" },
        { op: "frame", payload: prefixedFrame(large, large) },
      ]),
      [1000],
      held,
    );
    expect(held.now).toBe(0);
    expect(held.most).toBeGreaterThanOrEqual(2 * large.length);
    expect(held.most).toBeLessThan(4 * large.length);
  });
});

describe("damaged input", () => {
  const outcome = (blob: Uint8Array) => {
    try {
      return apply(blob).output;
    } catch (error) {
      if (error instanceof CfsError) return error;
      throw error;
    }
  };

  test("operations that are cut or changed give an error or something else, and nothing worse", () => {
    fc.assert(
      fc.property(NUMBERS, fc.nat(), fc.nat(255), fc.boolean(), (numbers, where, byte, isCut) => {
        const ops = encodeOps(makeOps(numbers.slice(0, 8)).ops);
        const at = where % ops.length;
        if (!isCut) ops[at] = byte;
        expect(outcome(packOps(2, isCut ? ops.subarray(0, at) : ops))).toBeDefined();
      }),
      { numRuns: 100 },
    );
  }, 30_000);

  test("a blob that is cut is an error", () => {
    const blob = tarDiff(
      1,
      makeOps([5, 3, 77, 1000, 4]).ops.filter(({ op }) => op !== "frame"),
    );
    for (let length = 0; length < blob.length; length += 1 + Math.floor(blob.length / 300))
      expect(outcome(blob.subarray(0, length))).toBeInstanceOf(CfsError);
  });

  test("a blob that is changed is an error or has another digest", () => {
    const blob = tarDiff(1, [{ op: "open", name: "small" }, { op: "copy", size: 3000 }]); // biome-ignore format: short
    for (let at = 0; at < blob.length; at++) {
      const changed = Buffer.from(blob);
      changed[at]! ^= 0x55;
      expect(outcome(changed)).toBeDefined();
    }
  });
});

test("bytes are added at any place", () => {
  const adder = new ByteAdder(100);
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 7 }),
      fc.integer({ min: 0, max: 20 }),
      fc.uint8Array({ maxLength: 100 }),
      (offset, at, addends) => {
        const target = new Uint8Array(new SharedArrayBuffer(140), offset, 130);
        target.set(noise(130, 5));
        const want = target.slice();
        addends.forEach((byte, i) => {
          want[at + i]! += byte;
        });
        adder.addendsFor(target, at, addends.length).set(addends);
        adder.add(target, at, addends.length);
        expect([...target]).toEqual([...want]);
      },
    ),
  );
});
