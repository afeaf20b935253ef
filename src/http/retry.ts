import type { CfsError } from "../errors.ts";
import { cancelled, requestErrorOf } from "./errors.ts";

/** How often and how patiently something is tried. Times in milliseconds. */
export interface RetryPolicy {
  /** With the first one. */
  readonly attempts: number;
  /** Pause before the second attempt; each further one is twice as long. */
  readonly firstDelay: number;
  readonly maxDelay: number;
  /** A server that wants us to wait for longer gets no other request. */
  readonly maxRetryAfter: number;
}

export const DEFAULT_RETRIES: RetryPolicy = {
  attempts: 6,
  firstDelay: 500,
  maxDelay: 30_000,
  maxRetryAfter: 300_000,
};

/** Told before each pause, in milliseconds. */
export type RetryListener = (error: CfsError, delay: number) => void;

/** Counts failed attempts in a row, and pauses between them. */
export class Attempts {
  readonly #policy: RetryPolicy;
  readonly #signal: AbortSignal;
  readonly #onRetry: RetryListener | undefined;
  #failed = 0;
  #hasProgressed = false;

  constructor(policy: RetryPolicy, signal: AbortSignal, onRetry?: RetryListener) {
    this.#policy = policy;
    this.#signal = signal;
    this.#onRetry = onRetry;
  }

  /** Something was achieved: failures until now don't count any more. */
  progressed(): void {
    this.#failed = 0;
    this.#hasProgressed = true;
  }

  /**
   * Pauses before the next attempt; not when the last one achieved something before it failed.
   * @throws the error itself, when it is to be taken as final.
   */
  async afterFailure(error: unknown): Promise<void> {
    if (this.#signal.aborted) throw cancelled(this.#signal);
    const failure = requestErrorOf(error);
    if (failure === undefined || !failure.transient) throw error;
    this.#failed++;
    if (this.#failed >= this.#policy.attempts) throw error;
    const { retryAfter } = failure;
    if (retryAfter !== undefined && retryAfter > this.#policy.maxRetryAfter) throw error;
    const delay = retryAfter ?? (this.#hasProgressed ? 0 : backoff(this.#policy, this.#failed));
    this.#hasProgressed = false;
    this.#onRetry?.(failure, delay);
    await pause(delay, this.#signal);
  }

  /** Does something until it succeeds or fails for good. */
  async run<T>(action: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await action();
      } catch (error) {
        await this.afterFailure(error);
      }
    }
  }
}

/** Between half of the nominal delay and all of it, so that clients don't come back all at once. */
function backoff({ firstDelay, maxDelay }: RetryPolicy, failed: number): number {
  const delay = Math.min(firstDelay * 2 ** (failed - 1), maxDelay);
  return delay * (0.5 + Math.random() / 2);
}

/** @throws CfsError Cancelled when the signal comes first. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw cancelled(signal);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  const onAbort = () => reject(cancelled(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Milliseconds that a `Retry-After` header asks for: a number of seconds or a date (RFC 9110, 10.2.3).
 * @returns undefined when there is none, or none that can be understood.
 */
export function parseRetryAfter(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Za-z]{3}/.test(text)) return undefined;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
