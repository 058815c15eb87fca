/** While nothing is read from disks, two steps in so many ask whether that is still so. */
const SAMPLE = 16;
/** For so many steps after something was read, it is asked at each. */
const COLD = 16;

/** Tells, at the steps of a work that goes over many files, whether disks are read for it. Where nothing is, it costs next to nothing. */
export class DiskWatch {
  readonly #blocksRead: () => number;
  #asked = 0;
  #cold = 0;
  #blocks = 0;

  /** @param blocksRead what disks have read for all those who work together. */
  constructor(blocksRead: () => number) {
    this.#blocksRead = blocksRead;
  }

  /** Whether it was so at the last step. */
  get isCold(): boolean {
    return this.#cold > 0;
  }

  /** Whether something was read since the step before, or not long ago. */
  step(): boolean {
    const turn = this.#cold > 0 ? SAMPLE : this.#asked++ % SAMPLE;
    if (turn > 1 && this.#cold === 0) return false;
    const before = this.#blocks;
    this.#blocks = this.#blocksRead();
    // What was read before the step that came last says nothing.
    if (turn > 0 && this.#blocks !== before) this.#cold = COLD;
    else if (this.#cold > 0) this.#cold--;
    return this.#cold > 0;
  }
}
