import { Attr } from '../../../fs/sys/attr.ts';
import { type ByteString } from '../../../fs/sys/bytes.ts';
import {
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_PATH,
  O_WRONLY,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFDIR,
  S_IFMT,
} from '../../../fs/sys/constants.ts';
import { EAGAIN, ENOENT, check } from '../../../fs/sys/errno.ts';
import { close, fstat, mkdirat, openat, openat2 } from '../../../fs/sys/file.ts';

const MAX_ATTEMPTS = 128;

/**
 * Repeats an openat2(2) that answers EAGAIN: the kernel gives up on a `..` below RESOLVE_IN_ROOT whenever anything on
 * the machine has been renamed or mounted meanwhile. Bounded, since a hostile process can rename for ever.
 */
export function untilSettled(open: () => number): number {
  for (let attempt = 1; attempt < MAX_ATTEMPTS; attempt += 1) {
    const opened = open();
    if (opened !== -EAGAIN) return opened;
  }
  return open();
}

/**
 * The container's root directory, seen from outside of it. Every path is resolved by the kernel as if this directory
 * were `/`: a symlink of the image, whatever it says, leads nowhere else, and magic links of /proc are refused.
 */
export class Inside {
  readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  static open(path: ByteString): Inside {
    const flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    return new Inside(check(openat(-1, path, flags), `open the container's root ${path}`));
  }

  /** A descriptor of `path`, or a negative errno. */
  tryOpen(path: ByteString, flags: number): number {
    const resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return untilSettled(() => openat2(this.fd, path, flags | O_CLOEXEC, 0, resolve));
  }

  open(path: ByteString, flags: number): number {
    return check(this.tryOpen(path, flags), `open ${path} in the container`);
  }

  /** O_PATH descriptor of a directory that is made, with those above it, where it is missing. */
  ensureDirectory(path: ByteString): number {
    let parent = this.open('/', O_PATH | O_DIRECTORY);
    let prefix = '';
    for (const name of components(path)) {
      prefix += `/${name}`;
      const next = this.#openOrMake(parent, prefix, name);
      close(parent);
      parent = next;
    }
    return parent;
  }

  #openOrMake(parent: number, prefix: ByteString, name: ByteString): number {
    const existing = this.tryOpen(prefix, O_PATH | O_DIRECTORY);
    if (existing !== -ENOENT) return check(existing, `open the directory ${prefix} in the container`);
    check(mkdirat(parent, name, 0o755), `make the directory ${prefix} in the container`);
    return this.open(prefix, O_PATH | O_DIRECTORY);
  }

  /** O_PATH descriptor of a file that is made, empty, with the directories above it, where it is missing. */
  ensureFile(path: ByteString): number {
    const existing = this.tryOpen(path, O_PATH);
    if (existing !== -ENOENT) return check(existing, `open ${path} in the container`);
    const names = components(path);
    const parent = this.ensureDirectory(`/${names.slice(0, -1).join('/')}`);
    const made = openat(parent, names.at(-1) ?? '', O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644);
    close(parent);
    close(check(made, `make ${path} in the container`));
    return this.open(path, O_PATH);
  }
}

function components(path: ByteString): ByteString[] {
  return path.split('/').filter((name) => name !== '' && name !== '.');
}

/** The name by which mount(2) reaches an open file, whatever is mounted or renamed on its path meanwhile. */
export function throughFd(fd: number): ByteString {
  return `/proc/self/fd/${fd}`;
}

const attr = new Attr();

export function isDirectory(fd: number): boolean {
  check(fstat(fd, attr), 'stat an open file');
  return (attr.mode & S_IFMT) === S_IFDIR;
}
