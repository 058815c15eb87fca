/** `bits` with one of them set, or cleared. */
export function withBit(bits: number, bit: number, value: boolean): number {
  return value ? bits | bit : bits & ~bit;
}
