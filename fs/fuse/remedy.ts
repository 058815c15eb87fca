import { EACCES, ENODEV, ENOENT, ENXIO } from '../sys/errno.ts';

export const FUSE_DEVICE = '/dev/fuse';

const OUTER =
  'in a container, start that one with --device /dev/fuse --cap-add SYS_ADMIN (Kubernetes: a FUSE device plugin, SYS_ADMIN)';

/**
 * What lets FUSE be mounted, as a command where there is one.
 *
 * @param errno positive; what opening the device or mount(2) has answered.
 */
export function fuseRemedy(errno: number): string {
  if (errno === EACCES) return `as root: chmod 0666 ${FUSE_DEVICE}`;
  return isAbsent(errno) ? `as root: modprobe fuse; ${OUTER}` : OUTER;
}

export function isAbsent(errno: number): boolean {
  return errno === ENOENT || errno === ENODEV || errno === ENXIO;
}
