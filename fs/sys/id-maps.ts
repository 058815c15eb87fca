import { readFileSync } from 'node:fs';

// The ids of our user namespace (user_namespaces(7)): what they stand for outside does not matter here.

type Range = readonly [first: number, count: number];

const ALL_IDS = 0xffffffff;

function readMap(path: string): readonly Range[] {
  const lines = readFileSync(path, 'latin1').trim().split('\n');
  return lines.map((line) => {
    const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
    return [first, count];
  });
}

let uids: readonly Range[] | undefined;
let gids: readonly Range[] | undefined;

function isIn(ranges: readonly Range[], id: number): boolean {
  for (const [first, count] of ranges) if (id >= first && id < first + count) return true;
  return false;
}

/** Whether a uid is one in our user namespace. What is not, the kernel can show to nobody in it. */
export function isMappedUid(uid: number): boolean {
  uids ??= readMap('/proc/self/uid_map');
  return isIn(uids, uid);
}

export function isMappedGid(gid: number): boolean {
  gids ??= readMap('/proc/self/gid_map');
  return isIn(gids, gid);
}

/** Whether all ids are there, as in the initial user namespace. */
export function hasAllIds(): boolean {
  uids ??= readMap('/proc/self/uid_map');
  return uids.some(([first, count]) => first === 0 && count === ALL_IDS);
}

/** Whether one id is all there is, as for an ordinary user without subordinate ids. */
export function hasSingleId(): boolean {
  uids ??= readMap('/proc/self/uid_map');
  return uids.length === 1 && uids[0]?.[1] === 1;
}

/** How many ids our user namespace has. */
export function mappedIdCounts(): { readonly users: number; readonly groups: number } {
  uids ??= readMap('/proc/self/uid_map');
  gids ??= readMap('/proc/self/gid_map');
  const total = (ranges: readonly Range[]): number => ranges.reduce((sum, [, count]) => sum + count, 0);
  return { users: total(uids), groups: total(gids) };
}
