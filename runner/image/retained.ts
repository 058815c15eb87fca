import { type Limits, overLimit } from './limits.ts';

/** Counts what hostile input has us keep in memory. */
export class Retained {
  readonly #limits: Limits;
  readonly #what: string;
  #bytes = 0;

  /** @param what is kept, for the message. */
  constructor(limits: Limits, what: string) {
    this.#limits = limits;
    this.#what = what;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#limits.retainedBytes) throw overLimit(this.#what, this.#limits, 'retained');
  }
}
