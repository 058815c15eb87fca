/** A logarithmic axis from `least` to `greatest` on `length` pixels. */
export class LogScale {
  readonly #least: number;
  readonly #decades: number;
  readonly #length: number;

  constructor(least: number, greatest: number, length: number) {
    this.#least = Math.log10(least);
    this.#decades = Math.log10(greatest) - this.#least;
    this.#length = length;
  }

  /** Where a value is; what is beyond the axis is at its end. */
  at(value: number): number {
    const part = (Math.log10(Math.max(value, Number.MIN_VALUE)) - this.#least) / this.#decades;
    return Math.round(Math.min(1, Math.max(0, part)) * this.#length * 10) / 10;
  }
}

const STEPS = [1, 2, 5];

/** Values of 1, 2 and 5 times a power of ten from `least` to `greatest`. */
export function ticks(least: number, greatest: number): number[] {
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(least)); power <= Math.log10(greatest); power++) {
    found.push(...STEPS.map((step) => Number((step * 10 ** power).toPrecision(1))));
  }
  return found.filter((tick) => tick >= least && tick <= greatest);
}

/** The smallest range that ticks bound and that holds all values. */
export function bounds(values: readonly number[]): readonly [number, number] {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value));
  if (positive.length === 0) return [0.1, 10];
  const [least, greatest] = [Math.min(...positive), Math.max(...positive)];
  const below = ticks(least / 10, least).at(-1) ?? least / 2;
  const above = ticks(greatest, greatest * 10)[0] ?? greatest * 2;
  return below < above ? [below, above] : [below / 2, above * 2];
}
