import { type Stats, statSync } from 'node:fs';

/** `major:minor` of a block device. */
export function deviceNumber(path: string): string {
  let stat: Stats;
  try {
    stat = statSync(path);
  } catch (error) {
    throw new Error(`cannot limit ${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  if (!stat.isBlockDevice()) throw new Error(`cannot limit ${path}: it is no block device`);
  const { major, minor } = splitDevice(stat.rdev);
  return `${major}:${minor}`;
}

/** Parts of a device number as glibc packs it (makedev(3)); numbers of Linux have 12 and 20 bits. */
function splitDevice(rdev: number): { readonly major: number; readonly minor: number } {
  return { major: Math.floor(rdev / 0x100) & 0xfff, minor: (rdev & 0xff) | (Math.floor(rdev / 0x1000) & 0xfff00) };
}
