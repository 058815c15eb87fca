import { type IdRange } from '../../../fs/sys/id-maps.ts';

/** Ids of a user namespace, user_namespaces(7): those from `inside` on are those from `outside` on of lamina's own. */
export interface IdMapping {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** What the users and groups of a container are outside of it. */
export interface IdMappings {
  readonly users: readonly IdMapping[];
  readonly groups: readonly IdMapping[];
}

/** The id outside of one inside, or undefined where it is not mapped. */
export function outsideOf(mappings: readonly IdMapping[], id: number): number | undefined {
  const found = mappings.find(({ inside, count }) => id >= inside && id < inside + count);
  return found === undefined ? undefined : id - found.inside + found.outside;
}

/** The kernel's number of whoever is not mapped. */
const OVERFLOW = 65534;

/** The id inside of one outside. */
export function insideOf(mappings: readonly IdMapping[], id: number): number {
  const found = mappings.find(({ outside, count }) => id >= outside && id < outside + count);
  return found === undefined ? OVERFLOW : id - found.outside + found.inside;
}

/** Whether an id outside is one inside. */
export function isSeen(mappings: readonly IdMapping[], id: number): boolean {
  return mappings.some(({ outside, count }) => id >= outside && id < outside + count);
}

/** As the kernel takes it in /proc/PID/uid_map. */
export function mapText(mappings: readonly IdMapping[]): string {
  return mappings.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('');
}

/**
 * The same in pieces that each lie in one range of the namespace outside: the kernel takes no other (map_id_range_down).
 * Ids that are in none stay as they are, for it to refuse.
 */
export function inRanges(mappings: readonly IdMapping[], ranges: readonly IdRange[]): IdMapping[] {
  return mappings.flatMap((mapping) => {
    const { inside, outside, count } = mapping;
    const pieces = ranges.flatMap(([first, length]) => {
      const from = Math.max(outside, first);
      const end = Math.min(outside + count, first + length);
      return from < end ? [{ inside: inside + from - outside, outside: from, count: end - from }] : [];
    });
    return pieces.reduce((sum, piece) => sum + piece.count, 0) === count ? pieces : [mapping];
  });
}

/** As podman shows it. */
export function mappingWords(mappings: readonly IdMapping[]): string[] {
  return mappings.map(({ inside, outside, count }) => `${inside}:${outside}:${count}`);
}

/**
 * The caller, who is 0 outside, is `id` inside; subordinate ids are what they are outside but for a shift below that.
 *
 * @param total how many ids there are outside, from 0 on.
 */
export function keptMapping(id: number, total: number): IdMapping[] {
  const mappings = [
    { inside: 0, outside: 1, count: id },
    { inside: id, outside: 0, count: 1 },
    { inside: id + 1, outside: id + 1, count: total - id - 1 },
  ];
  return mappings.filter(({ count }) => count > 0);
}

/** All but the caller, who is 0 outside. */
export function othersMapping(total: number): IdMapping[] {
  return [{ inside: 0, outside: 1, count: total - 1 }];
}

/** `INSIDE:OUTSIDE:COUNT`, as podman's and docker's --uidmap; without the count, one. */
export function parseMapping(option: string, text: string): IdMapping {
  const [, inside, outside, count = '1'] = /^(\d{1,10}):(\d{1,10})(?::(\d{1,10}))?$/.exec(text) ?? [];
  const mapping = { inside: Number(inside), outside: Number(outside), count: Number(count) };
  const last = Math.max(mapping.inside, mapping.outside) + mapping.count - 1;
  if (inside !== undefined && mapping.count > 0 && last < LAST) return mapping;
  throw new Error(`${option} ${JSON.stringify(text)} is not INSIDE:OUTSIDE:COUNT, numbers of ids`);
}

// The kernel's own limits: the last 32-bit number is no id, and a map has 340 lines.
const LAST = 0xffffffff;
const MAX_LINES = 340;

/** @throws where the kernel would not take the mappings, or the container would have no root. */
export function checkMappings(option: string, mappings: readonly IdMapping[]): void {
  if (mappings.length > MAX_LINES) throw new Error(`${option}: the kernel takes no more than ${MAX_LINES} ranges`);
  if (overlaps(mappings, 'inside') || overlaps(mappings, 'outside')) throw new Error(`${option}: two ranges overlap`);
  if (outsideOf(mappings, 0) === undefined) throw new Error(`${option}: 0, the root of the container, is not mapped`);
}

function overlaps(mappings: readonly IdMapping[], side: 'inside' | 'outside'): boolean {
  const sorted = [...mappings].sort((one, other) => one[side] - other[side]);
  return sorted.some((mapping, at) => {
    const before = sorted[at - 1];
    return before !== undefined && before[side] + before.count > mapping[side];
  });
}
