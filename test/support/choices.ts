/** The same choices for the same seed. */
export class Choices {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * limit);
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  chance(part: number): boolean {
    return this.below(1000) < part * 1000;
  }
}
