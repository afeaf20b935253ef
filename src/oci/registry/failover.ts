import { describeError, hintOf, kindOf } from "../../errors.ts";
import { RequestError, statusOf } from "./errors.ts";
import type { Session } from "./session.ts";

/** What went wrong where, until something works. */
export class Failures {
  readonly #failures: { readonly session: Session; readonly error: unknown }[] = [];

  /** @throws the error itself when no other place would help. */
  add(session: Session, error: unknown): void {
    if (kindOf(error) === "Cancelled") throw error;
    this.#failures.push({ session, error });
  }

  /** One error for all: the original place's, which is the last one, and what the mirrors said before. */
  combined(): unknown {
    const last = this.#failures.at(-1)!.error;
    const mirrors = this.#failures.slice(0, -1);
    if (mirrors.length === 0) return last;
    const others = mirrors
      .map(({ session, error }) => `${session.label} (${describeError(error)})`)
      .join(", ");
    const hint = hintOf(last);
    const status = statusOf(last);
    return new RequestError(kindOf(last) ?? "Network", `${describeError(last)}; tried before: ${others}`, {
      ...(hint === undefined ? {} : { hint }),
      ...(status === undefined ? {} : { status }),
    });
  }
}

/** Does something in the first place where it succeeds. */
export async function firstSuccess<T>(
  sessions: readonly Session[],
  action: (session: Session) => Promise<T>,
): Promise<T> {
  const failures = new Failures();
  for (const session of sessions) {
    try {
      return await action(session);
    } catch (error) {
      failures.add(session, error);
    }
  }
  throw failures.combined();
}
