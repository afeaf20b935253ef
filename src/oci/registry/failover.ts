import { describeError, hintOf, kindOf } from "../../errors.ts";
import { RequestError, statusOf } from "../../http/errors.ts";
import type { Session } from "./session.ts";

/** What went wrong where, until something works. */
class Failures {
  readonly #failures: { readonly session: Session; readonly error: unknown }[] = [];

  /** @throws the error itself when no other place would help. */
  add(session: Session, error: unknown): void {
    if (kindOf(error) === "Cancelled") throw error;
    this.#failures.push({ session, error });
  }

  /** One error for all: the original place's if it was asked, and what the others said. */
  combined(original: Session): unknown {
    const decisive = this.#failures.find(({ session }) => session === original) ?? this.#failures.at(-1)!;
    const { error } = decisive;
    const mirrors = this.#failures.filter((failure) => failure !== decisive);
    if (mirrors.length === 0) return error;
    const others = mirrors
      .map(({ session, error }) => `${session.label} (${describeError(error)})`)
      .join(", ");
    const hint = hintOf(error);
    const status = statusOf(error);
    return new RequestError(kindOf(error) ?? "Network", `${describeError(error)}; also tried: ${others}`, {
      ...(hint === undefined ? {} : { hint }),
      ...(status === undefined ? {} : { status }),
    });
  }
}

/** Places with the same content, those that are to be asked first at the beginning. */
export class Places {
  readonly original: Session;
  #order: readonly Session[];

  /** @param sessions mirrors first, the original last. */
  constructor(sessions: readonly Session[]) {
    this.original = sessions.at(-1)!;
    this.#order = sessions;
  }

  get inOrder(): readonly Session[] {
    return this.#order;
  }

  /** It has what is wanted: the rest should be there, too. */
  prefer(session: Session): void {
    this.#order = [session, ...this.#order.filter((other) => other !== session)];
  }

  /** What can't be used now won't be for the next request; that it lacks something says little about the rest. */
  #demote(session: Session, error: unknown): void {
    const kind = kindOf(error);
    if (kind === "NotFound" || kind === "Unsupported") return;
    this.#order = [...this.#order.filter((other) => other !== session), session];
  }

  /**
   * Does something in the first place where it succeeds.
   * @throws one error for all places
   */
  async firstSuccess<T>(action: (session: Session) => Promise<T>): Promise<T> {
    const failures = new Failures();
    for (const session of this.inOrder) {
      try {
        return await action(session);
      } catch (error) {
        failures.add(session, error);
        this.#demote(session, error);
      }
    }
    throw failures.combined(this.original);
  }

  /** `firstSuccess` for what comes bit by bit; the action takes up what the last one left. */
  async *stream<T>(action: (session: Session) => AsyncIterable<T>): AsyncGenerator<T, void, void> {
    const failures = new Failures();
    for (const session of this.inOrder) {
      try {
        yield* action(session);
        return;
      } catch (error) {
        failures.add(session, error);
        this.#demote(session, error);
      }
    }
    throw failures.combined(this.original);
  }
}
