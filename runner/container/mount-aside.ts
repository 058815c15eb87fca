import { type AttendedMount, mountAttended, toBytes } from '../../fs/index.ts';
import { type Container } from './container.ts';
import { clearMountpoint } from './mountpoint.ts';
import { unionOf } from './union.ts';

/**
 * Mounts the filesystem of a container that does not run, on the place where it is when it runs, for this process to use
 * until it unmounts it or ends.
 *
 * Call it where `enterUserNamespace` has been.
 */
export async function mountAside(container: Container, use: 'read' | 'write'): Promise<AttendedMount> {
  await clearMountpoint(container);
  return mountAttended({
    mountpoint: toBytes(container.merged),
    overlay: unionOf(container),
    fuse: { fsname: 'lamina', dev: false, readOnly: use === 'read' },
  });
}
