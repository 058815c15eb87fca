import { readFileSync } from 'node:fs';

/** A process that cannot be mistaken for a later one of the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to its start: field 22 of /proc/PID/stat. */
  readonly startTime: number;
  /** The boot that these ticks count from. */
  readonly boot: string;
}

/** Identity of a process that is there now, or undefined. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  return typeof startTime === 'string' ? undefined : { pid, startTime, boot: bootId() };
}

/** Whether the process still runs; a zombie does not. */
export function isAlive({ pid, startTime, boot }: ProcessIdentity): boolean {
  if (boot !== bootId()) return false;
  const found = startTimeOf(pid);
  return found === 'not shown' ? isHidden(pid) : found === startTime;
}

/**
 * Whether it is there all the same: a /proc with hidepid= shows an ordinary user nothing of processes in another user
 * namespace, as containers are. Then a later one of the same number is taken for it: what may run is not removed.
 */
function isHidden(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

let knownBoot: string | undefined;

/** No process outlives a boot: it is read once. */
function bootId(): string {
  return (knownBoot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim());
}

function startTimeOf(pid: number): number | 'ended' | 'not shown' {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return 'not shown';
  }
  // The second field is the name, in parentheses, and may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const state = fields[0] ?? 'X';
  return state === 'Z' || state === 'X' ? 'ended' : Number(fields[19]);
}
