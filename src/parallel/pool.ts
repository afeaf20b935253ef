import { workerUrl } from "../worker-url.ts";
import { type TransferredError, unpackError } from "./transfer.ts";

/** What a worker is asked: to run a job of `src/worker.ts` on a payload. */
export interface JobRequest {
  readonly job: string;
  readonly payload: unknown;
}

/** What comes back: any number of messages, then the result or an error. */
export type JobReply =
  | { readonly type: "message"; readonly message: unknown }
  | { readonly type: "result"; readonly result: unknown }
  | { readonly type: "error"; readonly error: TransferredError };

/** Threads that run jobs, started when they are first needed. */
export class WorkerPool implements AsyncDisposable {
  readonly size: number;
  readonly #threads: Thread[] = [];
  /** Of `submit`: threads without work, and who waits for one. */
  readonly #free: number[] = [];
  readonly #waiting: ((slot: number) => void)[] = [];
  #started = 0;

  constructor(size: number) {
    this.size = size;
  }

  /**
   * Runs a job once per payload, at most `size` at a time, in the order of the payloads.
   * After a failure no more are begun; the first error is thrown when those under way have ended.
   * @param job a name in the table of `src/worker.ts`.
   * @param onMessage called with what jobs say while they run; when it throws, that is the failure.
   * @param onFailure called when something has failed while other jobs may still be under way, to make them end.
   */
  async run<Payload, Result = void, Message = never>(
    job: string,
    payloads: readonly Payload[],
    onMessage?: (message: Message) => void,
    onFailure?: () => void,
  ): Promise<Result[]> {
    const results = new Array<Result>(payloads.length);
    let next = 0;
    let failure: { error: unknown } | undefined;
    const fail = (error: unknown) => {
      failure ??= { error };
      onFailure?.();
    };
    const onReply = (message: unknown) => {
      try {
        onMessage?.(message as Message);
      } catch (error) {
        fail(error);
      }
    };
    const drive = async (slot: number) => {
      while (next < payloads.length && failure === undefined) {
        const index = next++;
        try {
          results[index] = (await this.#ask(slot, { job, payload: payloads[index] }, onReply)) as Result;
        } catch (error) {
          fail(error);
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.size, payloads.length) }, (_, slot) => drive(slot)));
    if (failure !== undefined) throw failure.error;
    return results;
  }

  /**
   * Runs a job once, as soon as a thread has nothing else to do. Not to be mixed with `run`.
   * @param transfer memory in the payload that is handed over instead of copied.
   */
  async submit<Payload, Result>(
    job: string,
    payload: Payload,
    transfer: ArrayBuffer[] = [],
  ): Promise<Result> {
    const slot = this.#free.pop() ?? (this.#started < this.size ? this.#started++ : await this.#nextFree());
    try {
      return (await this.#ask(slot, { job, payload }, () => undefined, transfer)) as Result;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(slot);
      else next(slot);
    }
  }

  #nextFree(): Promise<number> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #ask(
    slot: number,
    request: JobRequest,
    onMessage: (message: unknown) => void,
    transfer: ArrayBuffer[] = [],
  ): Promise<unknown> {
    this.#threads[slot] ??= startThread();
    const { worker, closed } = this.#threads[slot];
    return new Promise((resolve, reject) => {
      closed.then(() => reject(new Error("a worker thread ended unexpectedly")));
      worker.onmessage = ({ data }: MessageEvent<JobReply>) => {
        if (data.type === "result") resolve(data.result);
        else if (data.type === "error") reject(unpackError(data.error));
        else onMessage(data.message);
      };
      worker.onerror = (event) => reject(new Error(`a worker thread failed: ${event.message}`));
      worker.postMessage(request, transfer);
    });
  }

  /** Ends the threads and waits until their memory is free. */
  async [Symbol.asyncDispose](): Promise<void> {
    const threads = this.#threads.splice(0);
    if (threads.length === 0) return;
    for (const { worker } of threads) worker.terminate();
    await Promise.all(threads.map(({ closed }) => closed));
    // Until the next turn of the event loop the last messages are kept, and with them the memory that they share.
    await new Promise((resolve) => setTimeout(resolve, 0));
    Bun.gc(true);
  }
}

interface Thread {
  readonly worker: Worker;
  /** Fulfilled when the thread has ended. */
  readonly closed: Promise<unknown>;
}

function startThread(): Thread {
  const worker = new Worker(workerUrl, { smol: true });
  return { worker, closed: new Promise((resolve) => worker.addEventListener("close", resolve)) };
}
