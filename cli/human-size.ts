const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Bytes as docker writes them: powers of 1,000, three digits. */
export function humanSize(bytes: number): string {
  const power = Math.min(UNITS.length - 1, bytes === 0 ? 0 : Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))}${UNITS[power] ?? ''}`;
}
