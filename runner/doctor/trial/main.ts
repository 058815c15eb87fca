import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { mount as mountUnion, toBytes } from '../../../fs/index.ts';
import {
  AT_FDCWD,
  MNT_DETACH,
  MS_BIND,
  MS_NODEV,
  MS_NOSUID,
  MS_PRIVATE,
  MS_REC,
  O_CLOEXEC,
  O_RDWR,
  S_IFCHR,
} from '../../../fs/sys/constants.ts';
import { close, mknodat, openat } from '../../../fs/sys/file.ts';
import { mount, umount } from '../../../fs/sys/mount.ts';
import { pivotRoot } from '../../../fs/sys/namespaces.ts';
import { SELF, setxattrText } from '../../../fs/sys/xattr.ts';
import { tryOverlay } from '../../container/driver/overlay.ts';
import { type Trial, type TrialInput } from '../trial.ts';

// Runs in a mount namespace of its own, as root or in a user namespace, and tries what a container needs: no file of
// /proc or /sys tells what a security module, a seccomp filter or the filesystem of the store will say to it.

function tryTmpfs(directory: string): number {
  const mounted = mount('lamina', directory, 'tmpfs', MS_NOSUID | MS_NODEV);
  if (mounted === 0) umount(directory, MNT_DETACH);
  return mounted;
}

function tryFuse(mountpoint: string): { readonly device: number; readonly mounted: number } {
  const fd = openat(AT_FDCWD, '/dev/fuse', O_RDWR | O_CLOEXEC);
  if (fd < 0) return { device: fd, mounted: fd };
  const data = `fd=${fd},rootmode=40000,user_id=0,group_id=0`;
  const mounted = mount('lamina', mountpoint, 'fuse', MS_NOSUID | MS_NODEV, data);
  if (mounted === 0) umount(mountpoint, MNT_DETACH);
  close(fd);
  return { device: 0, mounted };
}

/** Asks our own mount, which says why it cannot. */
async function tryPassthrough(lower: string, merged: string): Promise<string> {
  try {
    const union = await mountUnion({
      mountpoint: toBytes(merged),
      overlay: { lowers: [toBytes(lower)] },
      fuse: { passthrough: 'on' },
    });
    await union.unmount();
    // Its threads load what they need by paths, which another root would take away.
    await union.closed;
    return '';
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return /passthrough=on: (.*); leave it/.exec(message)?.[1] ?? message;
  }
}

/** The last trial: this process has another root afterwards. */
function tryPivotRoot(directory: string): number {
  const bound = mount(directory, directory, '', MS_BIND);
  if (bound < 0) return bound;
  process.chdir(directory);
  return pivotRoot('.', '.');
}

async function main({ directory, isRootless }: TrialInput): Promise<void> {
  mount('', '/', '', MS_REC | MS_PRIVATE);
  const overlay = tryOverlay(directory, isRootless);
  const [lower, merged] = [join(directory, 'lower'), join(directory, 'merged')];
  const tmpfs = tryTmpfs(merged);
  const { device: fuseDevice, mounted: fuse } = tryFuse(merged);
  const whiteoutDevice = mknodat(AT_FDCWD, join(directory, 'whiteout'), S_IFCHR, 0);
  const fd = openat(AT_FDCWD, directory, O_CLOEXEC);
  const xattr = setxattrText(fd, SELF, `${isRootless ? 'user' : 'trusted'}.overlay.opaque`, 'y');
  close(fd);
  const passthrough = fuse === 0 ? await tryPassthrough(lower, merged) : 'FUSE cannot be mounted';
  const pivotRoot = tryPivotRoot(directory);
  const trial: Trial = { tmpfs, fuseDevice, fuse, overlay, whiteoutDevice, xattr, passthrough, pivotRoot };
  writeSync(1, JSON.stringify(trial));
  process.exit(0);
}

void main(JSON.parse(process.argv[2] ?? '') as TrialInput);
