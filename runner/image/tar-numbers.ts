/** Octal digits of a tar header, between spaces and NULs; NaN where there is anything else. */
export function readOctal(text: string): number {
  const match = /^[ \0]*([0-7]*)[ \0]*$/.exec(text);
  return match === null ? Number.NaN : Number.parseInt(match[1] || '0', 8);
}

/** A number of a tar header: octal, or in base 256 where the first bit is set, which may be negative. */
export function readNumber(header: Buffer, at: number, length: number): number {
  const first = header[at] ?? 0;
  if ((first & 0x80) === 0) return readOctal(header.toString('latin1', at, at + length));
  // Two's complement, of which the first byte is but the sign.
  if (first !== 0x80 && first !== 0xff) return Number.NaN;
  let value = first === 0xff ? -1 : 0;
  for (let byte = at + 1; byte < at + length; byte++) value = value * 256 + (header[byte] ?? 0);
  return value;
}
