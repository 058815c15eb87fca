import { readFileSync } from 'node:fs';

// The ids of our user namespace (user_namespaces(7)): what they stand for outside does not matter here.

/** Ids that follow one another outside, too. */
export type IdRange = readonly [first: number, count: number];

const ALL_IDS = 0xffffffff;

function readMap(path: string): readonly IdRange[] {
  const lines = readFileSync(path, 'latin1').trim().split('\n');
  return lines.map((line) => {
    const [first = 0, , count = 0] = line.trim().split(/\s+/).map(Number);
    return [first, count];
  });
}

let uids: readonly IdRange[] | undefined;
let gids: readonly IdRange[] | undefined;

function isIn(ranges: readonly IdRange[], id: number): boolean {
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

/** The ids that our user namespace has. */
export function mappedRanges(): { readonly users: readonly IdRange[]; readonly groups: readonly IdRange[] } {
  uids ??= readMap('/proc/self/uid_map');
  gids ??= readMap('/proc/self/gid_map');
  return { users: uids, groups: gids };
}

/** How many they are. */
export function mappedIdCounts(): { readonly users: number; readonly groups: number } {
  const { users, groups } = mappedRanges();
  const total = (ranges: readonly IdRange[]): number => ranges.reduce((sum, [, count]) => sum + count, 0);
  return { users: total(users), groups: total(groups) };
}
