import { CfsError } from "../../errors.ts";
import type { ByteSet, Pattern } from "./pattern.ts";

/** Steps of all patterns together: a policy of Fedora has about 300,000. */
const MAX_STEPS = 8_000_000;
/** States that are remembered, and steps in all of them; when there are more, all are forgotten. */
const MAX_STATES = 20_000;
const MAX_REMEMBERED = 4_000_000;
/** Steps of one state. Users keep one for each directory above the one that they are in. */
const MAX_WAITING = 65_536;
/** Steps that may be looked at: no policy of good will comes near, others must not take for ever. */
const MAX_WORK = 1_000_000_000;

const MATCH = 0;
const SPLIT = 1;
const SET = 2;

/** Where all patterns stand after the bytes that were read. */
export interface AutomatonState {
  /** Steps that wait for a byte. */
  readonly waiting: Int32Array<ArrayBuffer>;
  /** The patterns that match what was read, in ascending order. */
  readonly matches: readonly number[];
  readonly next: Map<number, AutomatonState>;
  /** When its `next` is going to be forgotten. */
  age: number;
}

/**
 * Matches many regular patterns at once, in time that does not depend on how they are written. States are made when
 * they are reached: the paths of a tree have their beginnings in common, and so few are needed.
 */
export class Automaton {
  #ops = new Uint8Array(1024);
  /** SPLIT: one way; SET: number of the set, after which the next step follows; MATCH: number of the pattern. */
  #first = new Int32Array(1024);
  /** SPLIT: the other way. */
  #second = new Int32Array(1024);
  #length = 0;
  readonly #sets: ByteSet[] = [];
  readonly #setNumbers = new Map<ByteSet, number>();
  readonly #entries: number[] = [];
  #states = new Map<string, AutomatonState>();
  #remembered = 0;
  #age = 0;
  /** States that somebody still has, although they were forgotten. */
  #elders: AutomatonState[] = [];
  #start: AutomatonState | undefined;
  #visited = new Int32Array(0);
  #generation = 0;
  #work = 0;

  /** Adds a pattern, which must be regular (`isRegular`) and has to match a whole subject. */
  add(pattern: Pattern, number: number): void {
    this.#entries.push(this.#length);
    this.#compile(pattern);
    this.#emit(MATCH, number, 0);
  }

  /** The state before any byte. No pattern may be added any more. */
  get start(): AutomatonState {
    if (this.#start === undefined) {
      this.#visited = new Int32Array(this.#length);
      this.#start = this.#state(this.#entries);
    }
    return this.#start;
  }

  step(state: AutomatonState, byte: number): AutomatonState {
    let next = state.next.get(byte);
    if (next === undefined) {
      const reached: number[] = [];
      for (const at of state.waiting) if (this.#sets[this.#first[at]!]![byte] === 1) reached.push(at + 1);
      this.#count(state.waiting.length);
      next = this.#state(reached);
      state.next.set(byte, next);
      if (state.age !== this.#age) {
        state.age = this.#age;
        this.#elders.push(state);
      }
    }
    return next;
  }

  #state(reached: readonly number[]): AutomatonState {
    const reachedSets: number[] = [];
    const matches: number[] = [];
    const generation = ++this.#generation;
    const pending = [...reached];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      if (this.#visited[at] === generation) continue;
      this.#visited[at] = generation;
      this.#count(1);
      const op = this.#ops[at];
      if (op === SET) reachedSets.push(at);
      else if (op === MATCH) matches.push(this.#first[at]!);
      else pending.push(this.#first[at]!, this.#second[at]!);
    }
    if (reachedSets.length > MAX_WAITING) throw tooLarge("have too much in common");
    const waiting = Int32Array.from(reachedSets).sort();
    matches.sort((a, b) => a - b);
    const key = `${Buffer.from(waiting.buffer).latin1Slice()};${matches.join()}`;
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    if (this.#states.size >= MAX_STATES || this.#remembered >= MAX_REMEMBERED) this.#forget();
    const state: AutomatonState = { waiting, matches, next: new Map(), age: this.#age };
    this.#states.set(key, state);
    this.#remembered += waiting.length + matches.length;
    return state;
  }

  #forget(): void {
    for (const state of this.#states.values()) state.next.clear();
    for (const state of this.#elders) state.next.clear();
    this.#states.clear();
    this.#elders = [];
    this.#remembered = 0;
    this.#age++;
  }

  #count(work: number): void {
    this.#work += work;
    if (this.#work > MAX_WORK) throw tooLarge("take too long to match");
  }

  /** Steps that go on behind themselves when the pattern has matched. */
  #compile(pattern: Pattern): void {
    switch (pattern.kind) {
      case "set":
        this.#emit(SET, this.#setNumber(pattern.set), 0);
        return;
      case "sequence":
        for (const part of pattern.parts) this.#compile(part);
        return;
      case "group":
        this.#compile(pattern.part);
        return;
      case "either":
        this.#compileEither(pattern.parts);
        return;
      case "repeat":
        this.#compileRepeat(pattern.part, pattern.min, pattern.max);
        return;
      default:
        throw new TypeError(`${pattern.kind} is not regular`);
    }
  }

  #compileEither(parts: readonly Pattern[]): void {
    const ends: number[] = [];
    for (const [i, part] of parts.entries()) {
      const isLast = i === parts.length - 1;
      const split = isLast ? -1 : this.#emit(SPLIT, this.#length + 1, 0);
      this.#compile(part);
      if (isLast) continue;
      ends.push(this.#emit(SPLIT, 0, 0));
      this.#second[split] = this.#length;
    }
    for (const end of ends) this.#jump(end, this.#length);
  }

  #compileRepeat(part: Pattern, min: number, max: number): void {
    for (let i = 0; i < min; i++) if (!this.#compileSome(part)) return;
    if (max === Infinity) {
      const split = this.#emit(SPLIT, this.#length + 1, 0);
      this.#compile(part);
      this.#jump(this.#emit(SPLIT, 0, 0), split);
      this.#second[split] = this.#length;
      return;
    }
    const splits: number[] = [];
    for (let i = min; i < max; i++) {
      splits.push(this.#emit(SPLIT, this.#length + 1, 0));
      if (!this.#compileSome(part)) break;
    }
    for (const split of splits) this.#second[split] = this.#length;
  }

  /** @returns false for a pattern that has no steps: to repeat it changes nothing. */
  #compileSome(part: Pattern): boolean {
    const before = this.#length;
    this.#compile(part);
    return this.#length > before;
  }

  #jump(at: number, target: number): void {
    this.#first[at] = target;
    this.#second[at] = target;
  }

  #emit(op: number, first: number, second: number): number {
    const at = this.#length++;
    if (at === MAX_STEPS) throw tooLarge("are too large");
    if (at === this.#ops.length) this.#grow();
    this.#ops[at] = op;
    this.#first[at] = first;
    this.#second[at] = second;
    return at;
  }

  #grow(): void {
    const copy = <T extends Uint8Array | Int32Array>(to: T, from: T): T => {
      to.set(from);
      return to;
    };
    const size = this.#length * 2;
    this.#ops = copy(new Uint8Array(size), this.#ops);
    this.#first = copy(new Int32Array(size), this.#first);
    this.#second = copy(new Int32Array(size), this.#second);
  }

  #setNumber(set: ByteSet): number {
    let number = this.#setNumbers.get(set);
    if (number === undefined) {
      number = this.#sets.push(set) - 1;
      this.#setNumbers.set(set, number);
    }
    return number;
  }
}

function tooLarge(what: string): CfsError {
  return new CfsError("Unsupported", `the regular expressions of the SELinux policy ${what}`);
}
