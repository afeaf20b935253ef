/** Objects and bytes. */
export interface Amount {
  readonly count: number;
  readonly bytes: number;
}

/**
 * Which users each of many objects has. Users are numbered in the order in which they come; a set of users is the one
 * before with one user more, so that an object takes four bytes however many users it has, and a set sixteen.
 */
export class UserSets {
  readonly #setOf: Uint32Array;
  /** By set: the set without its last user, and that user. Set 0 is empty. */
  readonly #parents: number[] = [0];
  readonly #last: number[] = [-1];
  #user = -1;
  /** Sets that the present user was added to. */
  readonly #extended = new Map<number, number>();

  /** @param objects how many there are. */
  constructor(objects: number) {
    this.#setOf = new Uint32Array(objects);
  }

  /** How many users there have been. */
  get users(): number {
    return this.#user + 1;
  }

  /** From now on, objects are used by another user. @returns its number. */
  nextUser(): number {
    this.#extended.clear();
    return ++this.#user;
  }

  /** The present user uses an object. @returns whether that was not known, and whether nobody before uses it. */
  use(object: number): { isNew: boolean; isFirst: boolean } {
    const set = this.#setOf[object]!;
    if (this.#last[set] === this.#user) return KNOWN;
    let extended = this.#extended.get(set);
    if (extended === undefined) {
      extended = this.#parents.length;
      this.#parents.push(set);
      this.#last.push(this.#user);
      this.#extended.set(set, extended);
    }
    this.#setOf[object] = extended;
    return set === 0 ? FIRST : SHARED;
  }

  isUsed(object: number): boolean {
    return this.#setOf[object] !== 0;
  }

  /** The users of an object, in ascending order. */
  usersOf(object: number): number[] {
    return this.#usersIn(this.#setOf[object]!);
  }

  /** Every set of users that some object has, with what the objects amount to that have exactly these users. */
  *amounts(sizeOf: (object: number) => number): Generator<{ users: number[]; amount: Amount }> {
    const counts = new Float64Array(this.#parents.length);
    const bytes = new Float64Array(this.#parents.length);
    for (let object = 0; object < this.#setOf.length; object++) {
      const set = this.#setOf[object]!;
      counts[set]!++;
      bytes[set]! += sizeOf(object);
    }
    for (let set = 1; set < counts.length; set++) {
      if (counts[set] === 0) continue;
      yield { users: this.#usersIn(set), amount: { count: counts[set]!, bytes: bytes[set]! } };
    }
  }

  #usersIn(set: number): number[] {
    const users: number[] = [];
    for (let at = set; at !== 0; at = this.#parents[at]!) users.push(this.#last[at]!);
    return users.reverse();
  }
}

const KNOWN = { isNew: false, isFirst: false } as const;
const FIRST = { isNew: true, isFirst: true } as const;
const SHARED = { isNew: true, isFirst: false } as const;
