// Inode numbers have 64 bits, and are numbers here. Those below 2^52 are themselves; the rare ones beyond, as of
// filesystems that hash or that put a device's number in the upper bits, are scattered over what is left below 2^53: always
// the same way, so that they stay what they are over remounts, and so evenly that no two of a filesystem meet.

const SCATTERED = 2 ** 52;
const HIGH_WORD = 2 ** 32;
/** Upper words of numbers below 2^52. */
const EXACT_HIGH = 2 ** 20;

/** The number for both words of an inode number. What needs 31 bits alone is kept in fields as it is, not as an object. */
export function inodeNumber(low: number, high: number): number {
  if (high === 0) return low;
  return high < EXACT_HIGH ? high * HIGH_WORD + low : scatter(low, high, 0);
}

/** A number for the inode number of one of several filesystems, whose own numbers leave no room for a prefix. */
export function scatteredNumber(ino: number, filesystem: number): number {
  return scatter(ino >>> 0, Math.floor(ino / HIGH_WORD), filesystem);
}

/** A Feistel network, which takes no two pairs of words to the same one, less 12 of its 64 bits. */
function scatter(low: number, high: number, key: number): number {
  let left = low ^ round(high, key);
  let right = high ^ round(left, key + 1);
  left ^= round(right, key + 2);
  right ^= round(left, key + 3);
  return SCATTERED + (right >>> 12) * HIGH_WORD + (left >>> 0);
}

function round(word: number, key: number): number {
  const mixed = Math.imul(word ^ Math.imul(key + 1, 0x9e3779b1), 0x85ebca6b);
  return Math.imul(mixed ^ (mixed >>> 15), 0xc2b2ae35);
}
