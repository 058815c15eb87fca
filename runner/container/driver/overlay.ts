import { mkdirSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ByteString, toBytes } from '../../../fs/index.ts';
import { AT_FDCWD, MNT_DETACH, MS_NODEV, O_CLOEXEC, O_DIRECTORY, O_PATH } from '../../../fs/sys/constants.ts';
import { EINVAL, EIO, check, describeErrno } from '../../../fs/sys/errno.ts';
import { close, openat } from '../../../fs/sys/file.ts';
import { mount, umount } from '../../../fs/sys/mount.ts';

/** A mount of kernel overlayfs. */
export interface OverlayMount {
  /** The topmost first. */
  readonly lowers: readonly ByteString[];
  readonly upper: ByteString;
  readonly work: ByteString;
  readonly mountpoint: ByteString;
  /** In a user namespace marks are `user.` xattrs, with which overlayfs has neither redirects nor metacopies. */
  readonly isRootless: boolean;
  readonly volatile: boolean;
}

// With these the kernel writes and reads what lamina's union does.
const ROOT_FEATURES = ['redirect_dir=on', 'metacopy=on', 'index=on', 'xino=auto'];
const PAGE = 4096;

/** @throws where the kernel refuses it. */
export function mountOverlay(wanted: OverlayMount): void {
  const mounted = mountByDescriptors(wanted);
  if (mounted === 0) return;
  const advice = mounted === -EINVAL ? '; the kernel log (dmesg) has the reason' : '';
  throw new Error(`cannot mount the container's root by kernel overlayfs: ${describeErrno(mounted)}${advice}`);
}

/**
 * The layers are named by descriptors: their paths may hold what separates options, and mount(2) takes one page of
 * options.
 */
function mountByDescriptors({ lowers, upper, work, mountpoint, isRootless, volatile }: OverlayMount): number {
  const opened: number[] = [];
  const named = (path: ByteString): string => {
    const fd = check(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC), `open the layer ${path}`);
    opened.push(fd);
    return `/proc/self/fd/${fd}`;
  };
  try {
    const options = [
      `lowerdir=${lowers.map(named).join(':')}`,
      `upperdir=${named(upper)}`,
      `workdir=${named(work)}`,
      ...(isRootless ? ['userxattr'] : ROOT_FEATURES),
      ...(volatile ? ['volatile'] : []),
    ].join(',');
    if (options.length >= PAGE) throw new Error(`kernel overlayfs takes no ${lowers.length} layers by mount(2)`);
    return mount('overlay', mountpoint, 'overlay', MS_NODEV, options);
  } finally {
    opened.forEach(close);
  }
}

/**
 * Whether kernel overlayfs works in a directory: mounting alone says too little, since whiteouts and opaque directories
 * are what a filesystem below may refuse. 0, or a negative errno.
 *
 * @param directory an empty one, which is left with what was tried in it.
 */
export function tryOverlay(directory: string, isRootless: boolean): number {
  const place = (name: string): string => {
    mkdirSync(join(directory, name));
    return join(directory, name);
  };
  const [lower, upper, work, merged] = [place('lower'), place('upper'), place('work'), place('merged')];
  writeFileSync(join(lower, 'file'), '');
  mkdirSync(join(lower, 'directory'));
  const mounted = mountByDescriptors({
    ...{ lowers: [toBytes(lower)], upper: toBytes(upper), work: toBytes(work), mountpoint: toBytes(merged) },
    ...{ isRootless, volatile: false },
  });
  if (mounted < 0) return mounted;
  try {
    unlinkSync(join(merged, 'file'));
    rmdirSync(join(merged, 'directory'));
    mkdirSync(join(merged, 'directory'));
    return 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -EIO;
  } finally {
    umount(toBytes(merged), MNT_DETACH);
  }
}
