import { readFileSync } from 'node:fs';

/** What a process has used since it started. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly peakRssKib: number;
}

// USER_HZ: what /proc/PID/stat counts in, 100 on every architecture that Node runs on.
const TICKS_PER_SECOND = 100;
// Fields of /proc/PID/stat after the name, which may hold blanks and parentheses: state is the first, utime the 12th.
const UTIME = 11;
const STIME = 12;

/** User and system time from the text of /proc/PID/stat. */
export function parseCpuSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[UTIME]) + Number(fields[STIME])) / TICKS_PER_SECOND;
}

/** Kibibytes of a line such as `VmRSS:  5 kB` in the text of /proc/PID/status or /proc/meminfo. */
export function parseMemory(text: string, name: string): number {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text);
  if (found === null) throw new Error(`no ${name}: the process has ended`);
  return Number(found[1]);
}

/** Throws where the process is gone. */
export function usageOf(pid: number): ProcessUsage {
  return {
    cpuSeconds: parseCpuSeconds(readFileSync(`/proc/${pid}/stat`, 'utf8')),
    peakRssKib: parseMemory(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM'),
  };
}
