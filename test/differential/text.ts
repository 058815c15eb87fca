/** Content of a length; what a letter stands for is told in `summary`. */
export function text(letter: string, length: number): Buffer {
  return Buffer.alloc(length, letter, 'latin1');
}

/** Two `struct timespec`; a time is `seconds.nanoseconds`, `now` or `omit`. */
export function timespecs(...times: readonly string[]): Buffer {
  const raw = Buffer.alloc(16 * times.length);
  times.forEach((time, index) => {
    const [seconds = '', nanoseconds = '0'] = time.split('.');
    raw.writeBigInt64LE(SPECIAL.has(time) ? 0n : BigInt(seconds), 16 * index);
    raw.writeBigInt64LE(SPECIAL.get(time) ?? BigInt(nanoseconds), 16 * index + 8);
  });
  return raw;
}

// UTIME_NOW and UTIME_OMIT of utimensat(2).
const SPECIAL = new Map([
  ['now', 0x3fffffffn],
  ['omit', 0x3ffffffen],
]);
