/** Things worth one line each, however many files they concern. */
export class Warnings {
  readonly #byKind = new Map<string, { readonly example: string; count: number }>();

  /**
   * @param kind what happened, for files in general; the key.
   * @param example the first one's name.
   */
  add(kind: string, example: string): void {
    const known = this.#byKind.get(kind);
    if (known === undefined) this.#byKind.set(kind, { example, count: 1 });
    else known.count += 1;
  }

  /** A line for each kind. */
  lines(): string[] {
    return [...this.#byKind].map(([kind, { example, count }]) =>
      count === 1 ? `${kind}: ${example}` : `${kind}: ${example} and ${count - 1} more`,
    );
  }
}
