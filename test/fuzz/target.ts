import { CfsError, describeError } from "../../src/errors.ts";
import type { Finish } from "./mutate.ts";

/** A parser that is shown damaged input. */
export interface Target {
  readonly name: string;
  /** Good input, to be asked for once. */
  seeds(): readonly Uint8Array[];
  /** Words are worth replacing. */
  readonly isText?: boolean;
  readonly finish?: Finish;
  /** Throws a CfsError, or takes the input; everything else is a fault. */
  run(bytes: Uint8Array<ArrayBuffer>): void | Promise<void>;
}

const LONGEST_MESSAGE = 8192;

/** What is wrong with the way in which a target met its input; undefined when nothing is. */
export async function faultOf(target: Target, bytes: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
  try {
    await target.run(bytes);
    return undefined;
  } catch (error) {
    if (!(error instanceof CfsError))
      return error instanceof Error ? (error.stack ?? error.message) : String(error);
    const text = describeError(error);
    return text === "" || text.length > LONGEST_MESSAGE
      ? `a message of ${text.length} characters`
      : undefined;
  }
}

/** Runs something that may refuse its input, so that what follows is done as well. */
export function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof CfsError) return undefined;
    throw error;
  }
}

/** For what must hold. */
export function ensure(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}
