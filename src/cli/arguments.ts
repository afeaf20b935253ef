/** Values of options by name: true, one text, or several. */
export type OptionValues = ReadonlyMap<string, string | true | readonly string[]>;

/**
 * What the user gave to a command, already checked against its declaration. Names are those of the declaration,
 * without dashes.
 */
export class Arguments {
  readonly #options: OptionValues;
  readonly #positionals: ReadonlyMap<string, readonly string[]>;

  constructor(options: OptionValues, positionals: ReadonlyMap<string, readonly string[]>) {
    this.#options = options;
    this.#positionals = positionals;
  }

  /** Whether a boolean option was given. */
  flag(name: string): boolean {
    return this.#options.get(name) === true;
  }

  /** The value of a string or enum option: given, from the environment, or the default. */
  text(name: string): string | undefined {
    const value = this.#options.get(name);
    return typeof value === "string" ? value : undefined;
  }

  int(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : Number(value);
  }

  /** All values of a list option, in the order given. */
  list(name: string): readonly string[] {
    const value = this.#options.get(name);
    return Array.isArray(value) ? value : [];
  }

  /** A positional that must be given. */
  required(name: string): string {
    const value = this.#positionals.get(name)?.[0];
    if (value === undefined) throw new TypeError(`${name} is not a required argument of this command`);
    return value;
  }

  /** A positional that may be left out. */
  optional(name: string): string | undefined {
    return this.#positionals.get(name)?.[0];
  }

  /** All values of a variadic positional. */
  rest(name: string): readonly string[] {
    return this.#positionals.get(name) ?? [];
  }
}
