/** What of the kernel's filesystems is put out of a container's reach; absolute paths inside. */
export interface SystemPaths {
  readonly masked: readonly string[];
  readonly readOnly: readonly string[];
}

// Docker's and podman's lists: what tells of the host or changes it.
const MASKED: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/fs/selinux',
  '/sys/dev/block',
  '/sys/devices/virtual/powercap',
];
const READ_ONLY: readonly string[] = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/**
 * The paths for one container.
 *
 * @param mask hidden besides.
 * @param unmask left as they are, or `ALL`; a path ending in `/*` stands for those below it.
 */
export function systemPathsOf(privileged: boolean, mask: readonly string[], unmask: readonly string[]): SystemPaths {
  if (privileged) return { masked: mask, readOnly: [] };
  const isLeft = (path: string) => unmask.some((pattern) => pattern === 'ALL' || covers(pattern, path));
  return {
    masked: [...MASKED.filter((path) => !isLeft(path)), ...mask],
    readOnly: READ_ONLY.filter((path) => !isLeft(path)),
  };
}

function covers(pattern: string, path: string): boolean {
  return pattern === path || (pattern.endsWith('/*') && path.startsWith(pattern.slice(0, -1)));
}
