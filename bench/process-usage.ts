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

/** VmHWM from the text of /proc/PID/status. */
export function parsePeakRss(status: string): number {
  const found = /^VmHWM:\s+(\d+) kB$/m.exec(status);
  if (found === null) throw new Error('/proc/PID/status has no VmHWM: the process has ended');
  return Number(found[1]);
}

/** Throws where the process is gone. */
export function usageOf(pid: number): ProcessUsage {
  return {
    cpuSeconds: parseCpuSeconds(readFileSync(`/proc/${pid}/stat`, 'utf8')),
    peakRssKib: parsePeakRss(readFileSync(`/proc/${pid}/status`, 'utf8')),
  };
}
