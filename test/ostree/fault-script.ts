import type { Choices } from "../support/choices.ts";
import type { HttpAnswer, HttpRequest } from "../support/http-server.ts";
import type { Fault } from "./static-server.ts";

/** How often something goes wrong: once in so many requests. */
export interface FaultRates {
  /** The connection is closed, before the reply or within it. */
  readonly drop?: number;
  /** Nothing more is sent, from the beginning or from the middle of the reply on. */
  readonly stall?: number;
  /** A byte of the body is another one. */
  readonly wrongByte?: number;
  /** The server says that it is busy, and when it will not be. */
  readonly busy?: number;
  /** The reply is another form of the same: in chunks, or in a trickle. */
  readonly unusual?: number;
}

export interface FaultScript {
  readonly fault: Fault;
  /** Paths whose bytes were changed since the last call. */
  takeWrong(): string[];
  /** How often each thing has been done. */
  readonly done: Readonly<Record<keyof FaultRates, number>>;
}

const KINDS = ["drop", "stall", "wrongByte", "busy", "unusual"] as const;
/** Bytes per second of a slow reply: just enough not to be given up. */
const TRICKLE = 200_000;

/** A server that fails at random: the same way for the same choices, if requests come in the same order. */
export function randomFaults(choices: Choices, rates: FaultRates): FaultScript {
  const done = { drop: 0, stall: 0, wrongByte: 0, busy: 0, unusual: 0 };
  let wrong: string[] = [];
  const fault: Fault = (path, request, answer) => {
    const kind = KINDS.find((kind) => rates[kind] !== undefined && choices.below(rates[kind]) === 0);
    if (kind === undefined) return undefined;
    if (kind === "wrongByte") {
      if ((answer.body?.length ?? 0) === 0) return undefined;
      wrong.push(path);
    }
    done[kind]++;
    return spoil(kind, choices, request, answer);
  };
  const takeWrong = () => {
    const taken = wrong;
    wrong = [];
    return taken;
  };
  return { fault, done, takeWrong };
}

function spoil(
  kind: keyof FaultRates,
  choices: Choices,
  request: HttpRequest,
  answer: HttpAnswer,
): HttpAnswer | undefined | Promise<HttpAnswer> {
  const body = answer.body ?? new Uint8Array(0);
  const within = choices.below(body.length + 1);
  switch (kind) {
    case "drop":
      if (choices.chance(0.5)) return { ...answer, delivery: { cutAfter: within } };
      request.drop();
      return undefined;
    case "stall":
      return choices.chance(0.5)
        ? { ...answer, delivery: { stallAfter: within } }
        : new Promise<HttpAnswer>(() => {});
    case "wrongByte": {
      const changed = Buffer.from(body);
      changed[Math.min(within, body.length - 1)]! ^= 1 << choices.below(8);
      return { ...answer, body: changed };
    }
    case "busy":
      return { status: choices.of([429, 500, 502, 503]), headers: { "Retry-After": "0" } };
    case "unusual":
      return { ...answer, delivery: choices.of([{ contentLength: null }, { bytesPerSecond: TRICKLE }]) };
  }
}
