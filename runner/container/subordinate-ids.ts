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
}

const MAX_ID = 0xffffffff;

/** Ranges of `owner` in the text of /etc/subuid or /etc/subgid, in their order; malformed lines count for nothing. */
export function parseSubordinateIds(text: string, owner: { readonly name: string; readonly uid: number }): IdRange[] {
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
  const users = parseSubordinateIds(readTable('/etc/subuid'), owner);
  const groups = parseSubordinateIds(readTable('/etc/subgid'), owner);
  const reason = missingReason(owner.name, users, groups);
  if (reason === undefined) return { users, groups, missing: undefined };
  const missing = `${reason}: running with a single id, so all files show as root's, and --user does not work`;
  return { users: [], groups: [], missing };
}

function missingReason(name: string, users: readonly IdRange[], groups: readonly IdRange[]): string | undefined {
  const table = users.length === 0 ? '/etc/subuid' : groups.length === 0 ? '/etc/subgid' : undefined;
  if (table !== undefined) return `no subordinate ids for ${name} in ${table}`;
  const program = ['newuidmap', 'newgidmap'].find((candidate) => lookForProgram(candidate) === undefined);
  return program === undefined ? undefined : `${program} is not installed (apt-get install uidmap)`;
}

function callingUser(): { name: string; uid: number } {
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
