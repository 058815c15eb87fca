import { type Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY, S_IFCHR } from '../sys/constants.ts';
import { EAGAIN, EEXIST, SystemError, check } from '../sys/errno.ts';
import { LOCK_EX, LOCK_NB, close, flock, fstat, mkdirat, mknodat, openat, statat, unlinkat } from '../sys/file.ts';
import { SELF, removexattr, setxattrText } from '../sys/xattr.ts';
import { clear } from './discard.ts';
import { NOT_OPEN } from './layer.ts';

const OPEN_DIRECTORY = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

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
      lock(root, text);
      refuseVolatile(root, text, attr);
      const made = mkdirat(root, 'work', 0o700);
      if (made !== -EEXIST) check(made, `create ${text}/work`);
      clear(root, 'work');
      this.fd = check(openat(root, 'work', OPEN_DIRECTORY), `open ${text}/work`);
      removeAcls(this.fd);
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
    return `#${this.#counter.toString(16)}`;
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

function tryTrustedXattr(fd: number): boolean {
  const kept = setxattrText(fd, SELF, PROBE_XATTR, 'y') === 0;
  if (kept) removexattr(fd, SELF, PROBE_XATTR);
  return kept;
}

/** A second mount of the same upper would not see what this one remembers, and the other way round. */
function lock(fd: number, path: string): void {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; ; waited += LOCK_RETRY) {
    const locked = flock(fd, LOCK_EX | LOCK_NB);
    if (locked === 0) return;
    if (locked !== -EAGAIN) throw new SystemError(`lock workdir ${path}`, locked);
    if (waited >= LOCK_PATIENCE) {
      throw new Error(`cannot use workdir ${path}: another mount is using it; unmount that one first (lamina mounts)`);
    }
    Atomics.wait(sleeper, 0, 0, LOCK_RETRY);
  }
}

function refuseVolatile(root: number, path: string, attr: Attr): void {
  if (statat(root, 'work/incompat/volatile', attr) !== 0) return;
  throw new Error(
    `cannot use workdir ${path}: its last mount was volatile and may have lost data; start with a fresh upper, or remove ${path}/work/incompat/volatile to go on`,
  );
}
