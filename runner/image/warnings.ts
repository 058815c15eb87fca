/** Warnings of one kind: the first file's name, and how many they are. */
export type WarningEntry = readonly [kind: string, example: string, count: number];

/** Things worth one line each, however many files they concern. */
export class Warnings {
  readonly #byKind = new Map<string, { readonly example: string; count: number }>();

  /**
   * @param kind what happened, for files in general; the key.
   * @param example the first one's name.
   */
  add(kind: string, example: string): void {
    this.#add(kind, example, 1);
  }

  #add(kind: string, example: string, count: number): void {
    const known = this.#byKind.get(kind);
    if (known === undefined) this.#byKind.set(kind, { example, count });
    else known.count += count;
  }

  /** All of them, for `addAll` of others: they may come from another thread. */
  entries(): WarningEntry[] {
    return [...this.#byKind].map(([kind, { example, count }]) => [kind, example, count]);
  }

  addAll(entries: readonly WarningEntry[]): void {
    for (const [kind, example, count] of entries) this.#add(kind, example, count);
  }

  /** A line for each kind. */
  lines(): string[] {
    return [...this.#byKind].map(([kind, { example, count }]) =>
      count === 1 ? `${kind}: ${example}` : `${kind}: ${example} and ${count - 1} more`,
    );
  }
}
