/**
 * Bytes from a file's start, up to 2^63 - 1: a number where a number is exact, else a bigint. The two compare with each
 * other; sums and differences are made here. No file of usual size makes a bigint anywhere.
 */
export type FileOffset = number | bigint;

/** @param length bytes, exact. */
export function offsetBehind(start: FileOffset, length: number): FileOffset {
  const end = typeof start === 'number' ? start + length : Number.POSITIVE_INFINITY;
  return end <= Number.MAX_SAFE_INTEGER ? end : BigInt(start) + BigInt(length);
}

/** Bytes from `start` to `end`, but no more than `most`. */
export function lengthWithin(start: FileOffset, end: FileOffset, most: number): number {
  if (typeof start === 'number' && typeof end === 'number') return Math.min(end - start, most);
  const length = BigInt(end) - BigInt(start);
  return length > most ? most : Number(length);
}

/** The value at `offset` of a structure, signed, as the kernel's loff_t. */
export function readFileOffset(view: DataView, offset: number): FileOffset {
  const high = view.getInt32(offset + 4, true);
  // 2^53 and more, either side of 0.
  if (high >= 0x200000 || high < -0x200000) return view.getBigInt64(offset, true);
  return high * 0x100000000 + view.getUint32(offset, true);
}

export function writeFileOffset(view: DataView, offset: number, value: FileOffset): void {
  if (typeof value === 'bigint') {
    view.setBigInt64(offset, value, true);
    return;
  }
  view.setUint32(offset, value >>> 0, true);
  view.setInt32(offset + 4, Math.floor(value / 0x100000000), true);
}
