import { readFileSync } from 'node:fs';
import { type Caller } from '../filesystem.ts';

/**
 * Whether the caller is in a group. FUSE tells one of its groups only; the others are looked up where it is asked, which
 * is rare. Who cannot be looked up (another PID namespace, a process that has ended) is not a member.
 */
export function isMember(caller: Caller, gid: number): boolean {
  if (caller.gid === gid) return true;
  try {
    const groups = /^Groups:(.*)$/m.exec(readFileSync(`/proc/${caller.pid}/status`, 'latin1'))?.[1] ?? '';
    return groups.trim().split(/\s+/).includes(String(gid));
  } catch {
    return false;
  }
}
