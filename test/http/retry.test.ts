import { describe, expect, test } from "bun:test";
import { CfsError } from "../../src/errors.ts";
import { RequestError } from "../../src/http/errors.ts";
import { Attempts, DEFAULT_RETRIES, parseRetryAfter, pause } from "../../src/http/retry.ts";
import { never } from "../oci/registry/support.ts";

const POLICY = { attempts: 5, firstDelay: 4, maxDelay: 10, maxRetryAfter: 100 };
const passing = (retryAfter?: number) =>
  new RequestError("Network", "busy", {
    transient: true,
    ...(retryAfter === undefined ? {} : { retryAfter }),
  });

describe("attempts", () => {
  test("pauses grow, with some chance in them", async () => {
    const delays: number[] = [];
    const attempts = new Attempts(POLICY, never(), (_, delay) => delays.push(delay));
    await expect(attempts.run(() => Promise.reject(passing()))).rejects.toThrow("busy");
    expect(delays).toHaveLength(4);
    [4, 8, 10, 10].forEach((nominal, i) => {
      expect(delays[i]).toBeGreaterThanOrEqual(nominal / 2);
      expect(delays[i]).toBeLessThanOrEqual(nominal);
    });
  });

  test("the server's wish counts", async () => {
    const delays: number[] = [];
    const attempts = new Attempts(POLICY, never(), (_, delay) => delays.push(delay));
    let tries = 0;
    const done = attempts.run(async () => {
      if (++tries < 3) throw passing(tries);
      return "done";
    });
    expect(await done).toBe("done");
    expect(delays).toEqual([1, 2]);
  });

  test.each([
    ["a wish for a long pause", passing(101)],
    ["what won't pass", new RequestError("NotFound", "gone")],
    ["other errors", new TypeError("a mistake")],
  ])("%s ends them", async (_, error) => {
    let tries = 0;
    const attempts = new Attempts(POLICY, never());
    const run = attempts.run(() => {
      tries++;
      return Promise.reject(error);
    });
    await expect(run).rejects.toBe(error);
    expect(tries).toBe(1);
  });

  test("progress makes them start anew", async () => {
    const attempts = new Attempts({ ...POLICY, attempts: 2 }, never());
    for (let i = 0; i < 5; i++) {
      attempts.progressed();
      await attempts.afterFailure(passing());
    }
    await expect(attempts.afterFailure(passing())).rejects.toThrow("busy");
  });

  test("all of them take a quarter of a minute or less", () => {
    const { attempts, firstDelay } = DEFAULT_RETRIES;
    expect(firstDelay * (2 ** (attempts - 1) - 1)).toBeLessThan(16_000);
  });

  test("a pause ends when it is cancelled", async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(new CfsError("Cancelled", "enough")), 10);
    await expect(pause(10_000, controller.signal)).rejects.toThrow("enough");
  });
});

const NOW = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");

test.each([
  [null, undefined],
  ["", undefined],
  ["0", 0],
  ["120", 120_000],
  [" 5 ", 5000],
  ["-5", undefined],
  ["1.5", undefined],
  ["99999999999999", undefined],
  ["Wed, 21 Oct 2026 07:29:00 GMT", 60_000],
  ["Wed, 21 Oct 2026 07:27:00 GMT", 0],
  ["soon", undefined],
])("Retry-After: %s", (header, milliseconds) => {
  expect(parseRetryAfter(header, NOW)).toBe(milliseconds);
});
