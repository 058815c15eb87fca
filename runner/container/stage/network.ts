import { readFileSync, writeFileSync } from 'node:fs';
import { bringLoopbackUp } from '../../../fs/sys/network.ts';

/** What docker allows in a network that is the container's own: ping by everybody, and low ports to any user. */
export function prepareNetwork(): void {
  bringLoopbackUp();
  trySetting('net/ipv4/ip_unprivileged_port_start', '0');
  trySetting('net/ipv4/ping_group_range', `0 ${largestGroup()}`);
}

// A kernel may lack it, or keep it read-only; a container does without.
function trySetting(name: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${name}`, value);
  } catch {
    // As before.
  }
}

// As in kernel/sysctl: the largest that fits its signed range.
const LARGEST = 0x7fffffff;

/** Of the groups that follow 0 without a gap: the kernel takes none that has no number in the user namespace. */
function largestGroup(): number {
  const ranges = readFileSync('/proc/self/gid_map', 'latin1')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .sort(([left = 0], [right = 0]) => left - right);
  let next = 0;
  for (const [start = 0, , count = 0] of ranges) if (start === next) next += count;
  return Math.max(0, Math.min(next - 1, LARGEST));
}
