import { type Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  S_IFCHR,
  S_IFREG,
  S_ISGID,
} from '../sys/constants.ts';
import { readDirectory } from '../sys/directory.ts';
import { EAGAIN, EEXIST, ENOENT, SystemError, check } from '../sys/errno.ts';
import { LOCK_EX, LOCK_NB, close, flock, fstat, mkdirat, mknodat, openat, unlinkat } from '../sys/file.ts';
import { chmodPath, chownPath } from '../sys/metadata.ts';
import { SELF, removexattr, setxattrText } from '../sys/xattr.ts';
import { clear } from './discard.ts';
import { type Layer } from './layer.ts';
import { formatTemporary } from './temporary-name.ts';
import { NOT_OPEN } from './layer.ts';

const OPEN_DIRECTORY = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** "Leave it as it is", to chown(2). */
const UNCHANGED = 0xffffffff;

const PROBE_XATTR = 'trusted.overlay.probe';

/** How long a mount waits for one that is just ending to let go of the workdir, milliseconds. */
const LOCK_PATIENCE = 5000;
const LOCK_RETRY = 50;

/**
 * `workdir/work`, as kernel overlayfs has it: files are made whole here and then renamed into the upper. What is found
 * in it at mount time is left over from a crash and removed; nothing in it was ever visible.
 */
export class Workdir {
  /** O_PATH descriptor of `workdir/work`. */
  readonly fd: number;
  /** Whether the upper's filesystem lets us make character devices 0:0. */
  readonly makesDevices: boolean;
  /** Whether it lets us keep `trusted.*` xattrs. */
  readonly keepsTrustedXattrs: boolean;
  readonly #lock: number;
  #counter = 0;

  /** @param opened its descriptor where it could be opened before. */
  constructor(path: ByteString, upperDev: number, attr: Attr, opened = NOT_OPEN) {
    const text = toText(path);
    const root =
      opened >= 0 ? opened : check(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open workdir ${text}`);
    this.#lock = root;
    try {
      check(fstat(root, attr), `stat workdir ${text}`);
      if (attr.dev !== upperDev) {
        throw new Error(
          `cannot use workdir ${text}: it is on another filesystem than upperdir; put both on the same one, files are renamed between them`,
        );
      }
      lock(root, 'workdir', text);
      refuseIncompatible(root, text);
      const made = mkdirat(root, 'work', 0o700);
      if (made !== -EEXIST) check(made, `create ${text}/work`);
      check(clear(root, 'work'), `clear ${text}/work`);
      this.fd = check(openat(root, 'work', OPEN_DIRECTORY), `open ${text}/work`);
      removeAcls(this.fd);
      keepGroup(this.fd, attr);
      this.makesDevices = this.#tryDevice();
      this.keepsTrustedXattrs = tryTrustedXattr(this.fd);
    } catch (error) {
      close(root);
      throw error;
    }
  }

  /** A name that nothing in the workdir has. */
  temporaryName(): ByteString {
    this.#counter++;
    return formatTemporary(this.#counter);
  }

  /** Opens `workdir/index`, made where it is not there. */
  openIndex(): number {
    const made = mkdirat(this.#lock, 'index', 0o700);
    if (made !== -EEXIST) check(made, 'create the index of hard links in workdir');
    const fd = check(openat(this.#lock, 'index', OPEN_DIRECTORY), 'open the index of hard links in workdir');
    removeAcls(fd);
    return fd;
  }

  /** Leaves overlayfs's marker: an upper whose last mount did not sync must not be mounted again unawares. */
  markVolatile(): void {
    const made = mkdirat(this.fd, 'incompat', 0o700);
    if (made !== -EEXIST) check(made, 'create work/incompat');
    const marked = mkdirat(this.fd, 'incompat/volatile', 0o700);
    if (marked !== -EEXIST) check(marked, 'create work/incompat/volatile');
    const dirty = mknodat(this.fd, 'incompat/volatile/dirty', S_IFREG | 0o600, 0);
    if (dirty !== -EEXIST) check(dirty, 'create work/incompat/volatile/dirty');
  }

  close(): void {
    close(this.fd);
    close(this.#lock);
  }

  #tryDevice(): boolean {
    const name = this.temporaryName();
    const made = mknodat(this.fd, name, S_IFCHR, 0);
    if (made === 0) unlinkat(this.fd, name);
    return made === 0;
  }
}

/** A default ACL of the workdir is none of the files' that are made in it (ovl_workdir_create). */
function removeAcls(fd: number): void {
  removexattr(fd, SELF, 'system.posix_acl_default');
  removexattr(fd, SELF, 'system.posix_acl_access');
}

/** Nor is the group of a setgid workdir theirs: what is made in it is to be as if we had made it anywhere. */
function keepGroup(fd: number, attr: Attr): void {
  const gid = process.getegid?.() ?? 0;
  if (fstat(fd, attr) < 0 || ((attr.mode & S_ISGID) === 0 && attr.gid === gid)) return;
  chownPath(fd, UNCHANGED, gid);
  chmodPath(fd, 0o700);
}

function tryTrustedXattr(fd: number): boolean {
  const kept = setxattrText(fd, SELF, PROBE_XATTR, 'y') === 0;
  if (kept) removexattr(fd, SELF, PROBE_XATTR);
  return kept;
}

/** Locks an upper against a mount with another workdir; answers the descriptor that holds the lock. */
export function lockUpper(upper: Layer): number {
  const text = toText(upper.path);
  const fd = check(openat(upper.root.fd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open upperdir ${text}`);
  try {
    lock(fd, 'upperdir', text);
  } catch (error) {
    close(fd);
    throw error;
  }
  return fd;
}

/** A second mount of the same upper would not see what this one remembers, and the other way round. */
function lock(fd: number, role: string, path: string): void {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; ; waited += LOCK_RETRY) {
    const locked = flock(fd, LOCK_EX | LOCK_NB);
    if (locked === 0) return;
    if (locked !== -EAGAIN) throw new SystemError(`lock ${role} ${path}`, locked);
    if (waited >= LOCK_PATIENCE) {
      throw new Error(`cannot use ${role} ${path}: another mount is using it; unmount that one first (lamina mounts)`);
    }
    Atomics.wait(sleeper, 0, 0, LOCK_RETRY);
  }
}

/** `work/incompat` names what a mount has to know of the upper (Documentation/filesystems/overlayfs.rst). */
function refuseIncompatible(root: number, path: string): void {
  const fd = openat(root, 'work/incompat', O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd === -ENOENT) return;
  const attempt = `read ${path}/work/incompat`;
  const features: ByteString[] = [];
  check(fd, attempt);
  const read = readDirectory(fd, (name) => features.push(name));
  close(fd);
  check(read, attempt);
  if (features.includes('volatile')) {
    throw new Error(
      `cannot use workdir ${path}: its last mount was volatile and may have lost data; start with a fresh upper, or remove ${path}/work/incompat/volatile to go on`,
    );
  }
  const [unknown] = features;
  if (unknown === undefined) return;
  throw new Error(
    `cannot use workdir ${path}: its last mount had the feature ${toText(unknown)} (${path}/work/incompat), which is not known here; mount it with what made it`,
  );
}
