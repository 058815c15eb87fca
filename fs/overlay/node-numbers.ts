const PAGE_SHIFT = 10;
const PAGE_SIZE = 2 ** PAGE_SHIFT;
const PAGE_MASK = PAGE_SIZE - 1;

/** What a run of numbers leads to. */
class Page<T> {
  readonly held = new Array<T | undefined>(PAGE_SIZE);
  /** There are none before one of its numbers was given back: as yet they have the first. */
  generations: Float64Array | undefined = undefined;
}

/**
 * Numbers, and what each leads to. One that was given back is used again, with another generation.
 *
 * They are kept in pages: one array for a million would leave behind each of those that it outgrew, until V8 comes to
 * collect what is old.
 */
export class NodeNumbers<T> {
  readonly #pages: Page<T>[] = [];
  readonly #free: number[] = [];
  readonly #firstGeneration: number;
  /** Larger than any that was given out. */
  #end: number;

  /**
   * @param first the least number.
   * @param firstGeneration that of a number used for the first time.
   */
  constructor(first: number, firstGeneration: number) {
    this.#end = first;
    this.#firstGeneration = firstGeneration;
  }

  /** Undefined for one that leads to nothing, whatever it is. */
  get(number: number): T | undefined {
    // Shifts would take one beyond 32 bits for another.
    return number < this.#end ? this.#pages[number >>> PAGE_SHIFT]?.held[number & PAGE_MASK] : undefined;
  }

  /** Gives out one, which leads to nothing as yet. */
  take(): number {
    return this.#free.pop() ?? this.#end++;
  }

  set(number: number, target: T): void {
    this.#pageOf(number).held[number & PAGE_MASK] = target;
  }

  generationOf(number: number): number {
    return this.#pages[number >>> PAGE_SHIFT]?.generations?.[number & PAGE_MASK] ?? this.#firstGeneration;
  }

  /** Takes one back. */
  free(number: number): void {
    const page = this.#pageOf(number);
    const at = number & PAGE_MASK;
    page.held[at] = undefined;
    page.generations ??= new Float64Array(PAGE_SIZE).fill(this.#firstGeneration);
    page.generations[at] = (page.generations[at] ?? 0) + 1;
    this.#free.push(number);
  }

  *entries(): Generator<[number: number, target: T]> {
    for (let number = 0; number < this.#end; number++) {
      const target = this.get(number);
      if (target !== undefined) yield [number, target];
    }
  }

  #pageOf(number: number): Page<T> {
    return (this.#pages[number >>> PAGE_SHIFT] ??= new Page());
  }
}
