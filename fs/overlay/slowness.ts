/** Whether a disk has kept somebody waiting for long, not many waits ago. */
export class Slowness {
  readonly #long: number;
  readonly #spared: number;
  #left = 0;

  /**
   * @param long milliseconds from which on a wait is a long one.
   * @param spared waits that are left to others after one; then one tells again how long it takes.
   */
  constructor(long: number, spared: number) {
    this.#long = long;
    this.#spared = spared;
  }

  get isExpected(): boolean {
    return this.#left > 0;
  }

  /** A wait was left to others. */
  spared(): void {
    if (this.#left > 0) this.#left--;
  }

  /** @param milliseconds that the session's thread waited. */
  waited(milliseconds: number): void {
    if (milliseconds >= this.#long) this.#left = this.#spared;
  }
}
