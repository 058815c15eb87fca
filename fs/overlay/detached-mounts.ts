import { type ByteString, toText } from '../sys/bytes.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from '../sys/constants.ts';
import { EXDEV } from '../sys/errno.ts';
import { close, fstat, openat, statat } from '../sys/file.ts';
import { cloneTree, makePrivate } from '../sys/mount-attributes.ts';
import { readMounts } from '../sys/mountinfo.ts';
import { Attr } from '../sys/attr.ts';
import { resolvePath } from './overlap.ts';

// As overlayfs does (clone_private_mount in fs/overlayfs/super.c), a union reaches its layers through mounts of its own,
// which hang nowhere: those that the layers were named by can be unmounted at any time, above all as soon as umount of
// the union has returned, when this process may still have everything open. What is mounted inside a lower layer comes
// along, where overlayfs hides it; but not what is mounted later, such as the union itself, in which its own server would
// wait for ever. Where such mounts cannot be had (no CAP_SYS_ADMIN, Linux before 5.12), the paths are opened as they are.

const ROOT = O_PATH | O_DIRECTORY | O_CLOEXEC;

/** The upper and its workdir, through one mount: files are renamed between them. */
export interface UpperRoots {
  readonly upper: number;
  readonly work: number;
}

/** Where something is mounted, once for all layers of a union. */
export class DetachedMounts {
  readonly #mountpoints: readonly ByteString[] = mountpoints();

  /** Descriptor of a directory in a mount of its own, where reading changes no atime, or a negative errno. */
  open(path: ByteString): number {
    const real = resolvePath(path);
    return real === undefined ? -EXDEV : cloneOf(real, true, this.#hasMountsIn(real));
  }

  /**
   * Descriptors of both in one mount, or undefined.
   *
   * @param isQuiet reading is to change no atime.
   * @throws Error where they are in two: the kernel renames nothing from one to the other.
   */
  openUpper(upper: ByteString, work: ByteString, isQuiet: boolean): UpperRoots | undefined {
    const [realUpper, realWork] = [resolvePath(upper), resolvePath(work)];
    if (realUpper === undefined || realWork === undefined) return undefined;
    refuseTwoMounts(upper, work);
    if (this.#hasMountsIn(realUpper) || this.#hasMountsIn(realWork)) return undefined;
    const above = commonDirectory(realUpper, realWork);
    // A clone of another mount would not have the flags of theirs: read-only, for one.
    if (!isInMountOf(above, realUpper)) return undefined;
    const tree = cloneOf(above, isQuiet, false);
    if (tree < 0) return undefined;
    const roots = {
      upper: openSame(tree, above, realUpper, ROOT),
      work: openSame(tree, above, realWork, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    };
    close(tree);
    if (roots.upper >= 0 && roots.work >= 0) return roots;
    for (const fd of [roots.upper, roots.work]) if (fd >= 0) close(fd);
    return undefined;
  }

  /** Whether something is mounted inside a directory, or that cannot be told. */
  hasMountsIn(path: ByteString): boolean {
    const real = resolvePath(path);
    return real === undefined || this.#hasMountsIn(real);
  }

  #hasMountsIn(real: ByteString): boolean {
    const prefix = real.endsWith('/') ? real : `${real}/`;
    return this.#mountpoints.some((mountpoint) => mountpoint.startsWith(prefix) && mountpoint !== prefix);
  }
}

function mountpoints(): ByteString[] {
  try {
    return readMounts().map(({ mountpoint }) => mountpoint);
  } catch {
    // Without /proc anything may be mounted anywhere: below the root, in any case.
    return [];
  }
}

/** A private clone of the mount that `path` lies in, rooted at it. */
function cloneOf(path: ByteString, isQuiet: boolean, recursive: boolean): number {
  const tree = cloneTree(path, recursive);
  if (tree < 0) return tree;
  // A user namespace may not change what its mounts inherited: files are opened with O_NOATIME in any case.
  const separated = makePrivate(tree, isQuiet);
  if (separated === 0) return tree;
  close(tree);
  return separated;
}

const there = new Attr();
const here = new Attr();

/** Fills `here` and `there`; whether both files are there and the kernel tells their mounts (Linux 5.8). */
function readMountIds(one: ByteString, other: ByteString): boolean {
  const areThere = statat(AT_FDCWD, one, here) === 0 && statat(AT_FDCWD, other, there) === 0;
  return areThere && here.mountId !== undefined && there.mountId !== undefined;
}

function isInMountOf(above: ByteString, path: ByteString): boolean {
  return readMountIds(above, path) && here.mountId === there.mountId;
}

/** As overlayfs (ovl_get_workdir); that two filesystems are two is for `Workdir` to say. */
function refuseTwoMounts(upper: ByteString, work: ByteString): void {
  if (!readMountIds(`${upper}/.`, `${work}/.`) || here.mountId === there.mountId || here.dev !== there.dev) return;
  throw new Error(
    `cannot use workdir ${toText(work)}: it is in another mount than upperdir ${toText(upper)}, and files cannot be renamed between mounts; give a directory beside upperdir`,
  );
}

function commonDirectory(one: ByteString, other: ByteString): ByteString {
  const [left, right] = [one.split('/'), other.split('/')];
  const differs = left.findIndex((name, index) => name !== right[index]);
  return left.slice(0, differs < 0 ? left.length : differs).join('/') || '/';
}

/** Opens what `path`, at or below `above`, stands for inside a clone of `above`; another mount may be on the way. */
function openSame(tree: number, above: ByteString, path: ByteString, flags: number): number {
  const inside = path.slice(above.length).replace(/^\/+/, '') || '.';
  const fd = openat(tree, inside, flags | O_NOFOLLOW);
  if (fd < 0) return fd;
  if (
    fstat(fd, here) === 0 &&
    statat(AT_FDCWD, path, there) === 0 &&
    here.dev === there.dev &&
    here.ino === there.ino
  ) {
    return fd;
  }
  close(fd);
  return -EXDEV;
}
