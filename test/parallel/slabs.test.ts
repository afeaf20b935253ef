import { describe, expect, test } from "bun:test";
import { CfsError, describeError, hintOf, kindOf, withContext } from "../../src/errors.ts";
import { WorkerPool } from "../../src/parallel/pool.ts";
import {
  Aborted,
  createSlabs,
  SLAB_SIZE,
  type Slab,
  SlabExchange,
  WHOLE_FILE,
} from "../../src/parallel/slabs.ts";
import { packError, unpackError } from "../../src/parallel/transfer.ts";

/** Adds up the bytes of each item. */
function sum(slab: Slab): void {
  for (let item = 0; item < slab.itemCount; item++) {
    const start = slab.offset(item);
    const total = slab.data.subarray(start, start + slab.length(item)).reduce((a, b) => a + b, 0);
    slab.results.writeUInt32LE(total, slab.result(item));
    slab.setCreated(item);
  }
}

describe("a slab", () => {
  test("carries items and results", () => {
    const exchange = new SlabExchange(createSlabs(1), 0, sum);
    const slab = exchange.acquire()!;
    slab.data.set([1, 2, 3, 4], 100);
    slab.addItem(100, 3, 8, WHOLE_FILE, 0);
    slab.addItem(103, 1, 64, 7, 5 * 2 ** 32 + 4_000_000_000);
    expect(slab.position(1)).toBe(5 * 2 ** 32 + 4_000_000_000);
    expect([slab.fd(0), slab.fd(1), slab.created(0)]).toEqual([WHOLE_FILE, 7, false]);
    exchange.submit(slab);
    exchange.finish(slab);
    expect([slab.results.readUInt32LE(8), slab.results.readUInt32LE(64), slab.created(1)]).toEqual([
      6,
      4,
      true,
    ]);
    exchange.release(slab);
    expect(exchange.acquire()).toBe(slab);
    expect(slab.itemCount).toBe(0);
  });

  test("holds as many items as its data can need", () => {
    const exchange = new SlabExchange(createSlabs(1), 0, sum);
    const slab = exchange.acquire()!;
    const items = SLAB_SIZE / 1024;
    for (let i = 0; i < items; i++) {
      slab.data[i * 1024] = i & 0xff;
      slab.addItem(i * 1024, 1, i * 64, WHOLE_FILE, 0);
    }
    exchange.submit(slab);
    exchange.finish(slab);
    for (let i = 0; i < items; i++) expect(slab.results.readUInt32LE(i * 64)).toBe(i & 0xff);
  });
});

test("there are only so many slabs", () => {
  const exchange = new SlabExchange(createSlabs(1), 0, sum);
  const taken = [];
  for (let slab = exchange.acquire(); slab !== undefined; slab = exchange.acquire()) {
    slab.addItem(0, 1, 0, WHOLE_FILE, 0);
    exchange.submit(slab);
    taken.push(slab);
  }
  expect(taken.length).toBe(4);
  exchange.finish(taken[0]!);
  exchange.release(taken[0]!);
  expect(exchange.acquire()).toBe(taken[0]!);
});

test("after an abort nobody waits, and slabs are taken back", () => {
  const shared = createSlabs(2);
  const one = new SlabExchange(shared, 0, sum);
  const other = new SlabExchange(shared, 1, sum);
  const slab = one.acquire()!;
  slab.addItem(0, 1, 0, WHOLE_FILE, 0);
  one.submit(slab);
  other.abort();
  expect(() => one.finish(slab)).toThrow(Aborted);
  other.helpOthers();
  one.withdraw();
  expect(one.acquire()).toBe(slab);
});

test.each(["its owner", "another thread"])(
  "when %s fails at a slab, nobody waits for it or uses it",
  (who) => {
    const shared = createSlabs(2);
    const full = () => {
      throw new CfsError("Io", "the disk is full");
    };
    const owner = new SlabExchange(shared, 0, who === "its owner" ? full : sum);
    const slab = owner.acquire()!;
    slab.addItem(0, 1, 0, WHOLE_FILE, 0);
    owner.submit(slab);
    if (who === "its owner") expect(() => owner.finish(slab)).toThrow("the disk is full");
    else expect(() => new SlabExchange(shared, 1, full).helpOthers()).toThrow("the disk is full");
    expect(owner.aborted).toBe(true);
    expect(() => owner.finish(slab)).toThrow(Aborted);
    owner.withdraw();
    expect(owner.acquire()).toBe(slab);
  },
);

test("one thread works on what another has filled", () => {
  const shared = createSlabs(2);
  const owner = new SlabExchange(shared, 0, () => {
    throw new Error("the owner was to leave the work to the helper");
  });
  const helper = new SlabExchange(shared, 1, sum);
  const slab = owner.acquire()!;
  slab.data.fill(1, 0, 1000);
  slab.addItem(0, 1000, 0, WHOLE_FILE, 0);
  owner.submit(slab);
  helper.finish(slab);
  owner.finish(slab);
  expect(slab.results.readUInt32LE(0)).toBe(1000);
});

test("tasks are given out once", () => {
  const shared = createSlabs(2);
  const exchanges = [new SlabExchange(shared, 0, sum), new SlabExchange(shared, 1, sum)];
  expect([0, 1, 0, 1].map((i) => exchanges[i]!.nextTask())).toEqual([0, 1, 2, 3]);
});

test("errors cross threads with all they say", () => {
  const inner = new CfsError("Corrupt", "digest mismatch", { hint: "pull again", data: { expected: "a" } });
  const back = unpackError(structuredClone(packError(withContext("layer x", inner))));
  expect(describeError(back)).toBe("layer x: digest mismatch");
  expect([kindOf(back), hintOf(back)]).toEqual(["Corrupt", "pull again"]);
  expect((back.cause as CfsError).data).toEqual({ expected: "a" });
  expect(back.stack).toContain("slabs.test");
  expect(unpackError(packError(new TypeError("bug")))).not.toBeInstanceOf(CfsError);
});

test("a job that does not exist is an error, not a hang", async () => {
  await using pool = new WorkerPool(2);
  expect(pool.run("no-such-job", [1, 2, 3])).rejects.toThrow("no job named no-such-job");
});
