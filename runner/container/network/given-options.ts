/** Options of a helper as a user gave them, one an element: `-a`, `10.0.2.1` or `--address=10.0.2.1`. */
export class GivenOptions {
  readonly #options: readonly string[];

  constructor(options: readonly string[]) {
    this.#options = options;
  }

  has(...names: readonly string[]): boolean {
    return this.#options.some((option) => names.some((name) => option === name || option.startsWith(`${name}=`)));
  }

  /** Of an option that takes a value, all that were given. */
  values(...names: readonly string[]): string[] {
    return this.#options.flatMap((option, index) => {
      if (names.includes(option)) return this.#options.slice(index + 1, index + 2);
      const name = names.find((name) => option.startsWith(`${name}=`));
      return name === undefined ? [] : [option.slice(name.length + 1)];
    });
  }
}
