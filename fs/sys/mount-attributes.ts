import { type ByteString, firstPath, secondPath } from './bytes.ts';
import { AT_EMPTY_PATH, AT_FDCWD, MS_PRIVATE, O_CLOEXEC } from './constants.ts';
import { EPERM } from './errno.ts';
import { bind, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

const nativeMountSetattr = bind(
  'long syscall(long number, int dirfd, uintptr_t path, uint32_t flags, uintptr_t attr, size_t size)',
);
const nativeMoveMount = bind(
  'long syscall(long number, int from, uintptr_t fromPath, int to, uintptr_t toPath, uint32_t flags)',
);
const nativeOpenTree = bind('long syscall(long number, int dirfd, uintptr_t path, uint32_t flags)');

/** MOUNT_ATTR_*, linux/mount.h. */
export const MOUNT_ATTR = { readOnly: 1, noSuid: 2, noDev: 4, noExec: 8 } as const;
const MOUNT_ATTR_NOATIME = 0x10;
/** All that can be said about atimes, of which there is one at a time. */
const MOUNT_ATTR__ATIME = 0x70;
const AT_RECURSIVE = 0x8000;
const OPEN_TREE_CLONE = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 0x04;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;

// `struct mount_attr`: attr_set, attr_clr, propagation, userns_fd, each 64 bits wide.
const CLEARED = 8;
const PROPAGATION = 16;
const MOUNT_ATTR_SIZE = 32;
const mountAttr = new Memory(MOUNT_ATTR_SIZE);

/** mount_setattr(2), Linux 5.12: sets attributes of the mount that `fd` lies in, and with `recursive` of those below. */
export function mountSetattr(fd: number, attributes: number, recursive: boolean): number {
  mountAttr.bytes.fill(0);
  mountAttr.view.setUint32(0, attributes, true);
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  const number = syscallNumber('mount_setattr');
  return result(nativeMountSetattr(number, fd, firstPath(''), flags, mountAttr.address, MOUNT_ATTR_SIZE));
}

/**
 * Takes the mounts from `fd` on, a root, out of their peer groups: nothing is mounted or unmounted there with others.
 *
 * @param isQuiet reads through them leave atimes alone, too, where that may be changed.
 */
export function makePrivate(fd: number, isQuiet: boolean): number {
  mountAttr.bytes.fill(0);
  mountAttr.view.setUint32(PROPAGATION, MS_PRIVATE, true);
  if (!isQuiet) return setForAll(fd);
  mountAttr.view.setUint32(0, MOUNT_ATTR_NOATIME, true);
  mountAttr.view.setUint32(CLEARED, MOUNT_ATTR__ATIME, true);
  const made = setForAll(fd);
  return made === -EPERM ? makePrivate(fd, false) : made;
}

function setForAll(fd: number): number {
  const number = syscallNumber('mount_setattr');
  const flags = AT_EMPTY_PATH | AT_RECURSIVE;
  return result(nativeMountSetattr(number, fd, firstPath(''), flags, mountAttr.address, MOUNT_ATTR_SIZE));
}

/**
 * open_tree(2), Linux 5.2: a detached bind mount of `path`, which lives as long as it is used, and with `recursive` of
 * what is mounted below.
 */
export function cloneTree(path: ByteString, recursive = false): number {
  const flags = OPEN_TREE_CLONE | O_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  return result(nativeOpenTree(syscallNumber('open_tree'), AT_FDCWD, firstPath(path), flags));
}

/** The same of what `fd` is open on. */
export function cloneTreeOf(fd: number): number {
  const flags = OPEN_TREE_CLONE | AT_EMPTY_PATH | O_CLOEXEC;
  return result(nativeOpenTree(syscallNumber('open_tree'), fd, firstPath(''), flags));
}

/** move_mount(2), Linux 5.2: attaches a detached mount on what `target` is open on. */
export function attachTree(tree: number, target: number): number {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  return result(nativeMoveMount(syscallNumber('move_mount'), tree, firstPath(''), target, secondPath(''), flags));
}
