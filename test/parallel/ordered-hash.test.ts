import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import {
  createSlabs,
  type SharedSlabs,
  type Slab,
  SlabExchange,
  WHOLE_FILE,
  wakeWaiting,
} from "../../src/parallel/slabs.ts";
import { resumableHash } from "../../src/sys/libcrypto.ts";

const ignore = () => undefined;
const isAvailable = resumableHash("sha256") !== undefined;

/** Lets a thread do one piece of work, if there is any. */
function workOnce(exchange: SlabExchange, shared: SharedSlabs): void {
  let asked = 0;
  exchange.waitUntil(() => {
    // so that it does not sleep when it finds nothing to do
    wakeWaiting(shared);
    return asked++ > 0;
  });
}

function fill(slab: Slab, text: string, withItem: boolean): void {
  slab.data.set(Buffer.from(text), 3);
  if (withItem) slab.addItem(3, text.length, 0, WHOLE_FILE, 0);
  slab.hash(3, 3 + text.length);
}

describe.skipIf(!isAvailable)("a hash of what is in slabs", () => {
  test.each(["sha256", "sha512"])("by %s, whoever does which piece", (algorithm) => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string({ unit: "binary-ascii", maxLength: 300 }), fc.nat(3)), { maxLength: 30 }),
        (pieces) => {
          const shared = createSlabs(2);
          const owner = new SlabExchange(shared, 0, ignore);
          const helper = new SlabExchange(shared, 1, ignore);
          for (let round = 0; round < 2; round++) {
            expect(owner.beginHash(algorithm)).toBe(true);
            const waiting: Slab[] = [];
            const collect = () => {
              const slab = waiting.shift()!;
              owner.finish(slab);
              owner.release(slab);
            };
            for (const [text, what] of pieces) {
              let slab = owner.acquire();
              while (slab === undefined) {
                collect();
                slab = owner.acquire();
              }
              fill(slab, text, what % 2 === 0);
              owner.submit(slab);
              waiting.push(slab);
              if (what > 1) workOnce(helper, shared);
            }
            while (waiting.length > 0) collect();
            const whole = pieces.map(([text]) => text).join("");
            expect(owner.finishHash()).toBe(createHash(algorithm).update(whole).digest("hex"));
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test("that is given up leaves nothing for the next one", () => {
    const shared = createSlabs(1);
    const exchange = new SlabExchange(shared, 0, ignore);
    exchange.beginHash("sha256");
    fill(exchange.acquire()!, "of no use", true);
    const given = exchange.acquire()!;
    exchange.submit(given);
    exchange.withdraw();
    exchange.beginHash("sha256");
    const slab = exchange.acquire()!;
    fill(slab, "abc", false);
    exchange.submit(slab);
    exchange.finish(slab);
    exchange.release(slab);
    expect(exchange.finishHash()).toBe(createHash("sha256").update("abc").digest("hex"));
  });
});

test("an algorithm that can't be continued by others is refused", () => {
  expect(new SlabExchange(createSlabs(1), 0, ignore).beginHash("sha384")).toBe(false);
});
