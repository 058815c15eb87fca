import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { lookForProgram } from './program.ts';

/** A range of ids that an ordinary user may map, subuid(5). */
export interface IdRange {
  readonly start: number;
  readonly count: number;
}

/** What a user has; both lists empty, and `missing` says why in a line, where a single id must do. */
export interface SubordinateIds {
  readonly users: readonly IdRange[];
  readonly groups: readonly IdRange[];
  readonly missing: string | undefined;
  /** What gives them to the user: a command. */
  readonly remedy: string | undefined;
}

/** What is not there, and what mends that. */
export interface Lack {
  readonly reason: string;
  readonly remedy: string;
}

/** A user, as the tables may name him. */
interface Owner {
  readonly name: string;
  readonly uid: number;
}

const MAX_ID = 0xffffffff;

/** Ranges of `owner` in the text of /etc/subuid or /etc/subgid, in their order; malformed lines count for nothing. */
export function parseSubordinateIds(text: string, owner: Owner): IdRange[] {
  const ranges: IdRange[] = [];
  for (const line of text.split('\n')) {
    const match = /^([^:]+):(\d+):(\d+)\s*$/.exec(line);
    if (match === null || (match[1] !== owner.name && match[1] !== String(owner.uid))) continue;
    const range = { start: Number(match[2]), count: Number(match[3]) };
    if (range.count > 0 && range.start + range.count <= MAX_ID) ranges.push(range);
  }
  return ranges;
}

/** The calling user's. */
export function readSubordinateIds(): SubordinateIds {
  const owner = callingUser();
  const { users, groups } = readRangesOf(owner);
  const lack = lackOf(owner.name, users, groups);
  if (lack === undefined) return { users, groups, missing: undefined, remedy: undefined };
  const missing = `${lack.reason}: running with a single id, so all files show as root's, and --user does not work`;
  return { users: [], groups: [], missing, remedy: lack.remedy };
}

/** What the tables of subordinate ids say of somebody. */
export function readRangesOf(owner: Owner): Pick<SubordinateIds, 'users' | 'groups'> {
  return {
    users: parseSubordinateIds(readTable('/etc/subuid'), owner),
    groups: parseSubordinateIds(readTable('/etc/subgid'), owner),
  };
}

function lackOf(name: string, users: readonly IdRange[], groups: readonly IdRange[]): Lack | undefined {
  const table = users.length === 0 ? '/etc/subuid' : groups.length === 0 ? '/etc/subgid' : undefined;
  if (table !== undefined) return { reason: `no subordinate ids for ${name} in ${table}`, remedy: grantTo(name) };
  const program = ['newuidmap', 'newgidmap'].find((candidate) => lookForProgram(candidate) === undefined);
  return program === undefined
    ? undefined
    : { reason: `${program} is not installed`, remedy: 'as root: apt-get install uidmap' };
}

const FIRST_ID = 100_000;
const RANGE = 65_536;

/** Ids that nobody has: whose ranges overlap can get at each other's files. */
function grantTo(name: string): string {
  const taken = [...`${readTable('/etc/subuid')}\n${readTable('/etc/subgid')}`.matchAll(/^[^:\n]+:(\d+):(\d+)\s*$/gm)]
    .map(([, start, count]) => ({ start: Number(start), end: Number(start) + Number(count) }))
    .sort((one, other) => one.start - other.start);
  let start = FIRST_ID;
  for (const range of taken) if (range.start < start + RANGE) start = Math.max(start, range.end);
  const range = `${start}-${start + RANGE - 1}`;
  return `as root: usermod --add-subuids ${range} --add-subgids ${range} ${name}`;
}

function callingUser(): Owner {
  const uid = process.geteuid?.() ?? 0;
  try {
    return { name: userInfo().username, uid };
  } catch {
    return { name: String(uid), uid };
  }
}

function readTable(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
