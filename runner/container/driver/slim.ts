import { type ByteString, toBytes } from '../../../fs/index.ts';
import { DOT_WHITEOUT, OPAQUE_XATTRS } from '../../../fs/layer-format.ts';
import { Attr } from '../../../fs/sys/attr.ts';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  S_IFCHR,
  S_IFDIR,
  S_IFMT,
} from '../../../fs/sys/constants.ts';
import { readDirectory } from '../../../fs/sys/directory.ts';
import { EEXIST, ENODATA, EOPNOTSUPP, check } from '../../../fs/sys/errno.ts';
import { close, fstat, mknodat, openat, statat, unlinkat } from '../../../fs/sys/file.ts';
import { futimens, Times } from '../../../fs/sys/metadata.ts';
import { SELF, removexattr } from '../../../fs/sys/xattr.ts';
import { type Container } from '../container.ts';
import { diffTrees } from '../tree-diff.ts';
import { type Change } from '../diff.ts';

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const WHITEOUT_DEVICE = 0;
const attr = new Attr();

/**
 * Makes an upper that is a copy of all an upper again, of what was changed alone. What the container sees is the same at
 * every moment: first all that is gone gets a whiteout, which hides nothing yet; then, the commit point, the upper hides
 * the layers below no more; then what is as it is below goes. What one that was killed left of that does no harm.
 */
export function slim({ upper, lowers }: Container): void {
  const root = check(openat(AT_FDCWD, toBytes(upper), OPEN), `open ${upper}`);
  try {
    const changes = diffTrees(lowers, [toBytes(upper)]);
    for (const { kind, path } of changes) if (kind === 'D') whiteOut(root, path);
    showLayersBelow(root);
    new Thinning(root, changes).run();
  } finally {
    close(root);
  }
}

function whiteOut(root: number, path: ByteString): void {
  const at = path.lastIndexOf('/');
  const parent = openBelow(root, path.slice(1, at));
  const name = path.slice(at + 1);
  keepingTimes(parent, () => {
    const made = mknodat(parent, name, S_IFCHR, WHITEOUT_DEVICE);
    if (made === 0 || made === -EEXIST) return;
    // Where no whiteout device can be made, it is a file.
    const file = openat(parent, DOT_WHITEOUT + name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o644);
    if (file >= 0) close(file);
    else if (file !== -EEXIST) check(file, `white out ${path}`);
  });
  close(parent);
}

/** The whiteout of a path where it is a file. */
function fileForm(path: ByteString): ByteString {
  const at = path.lastIndexOf('/') + 1;
  return path.slice(0, at) + DOT_WHITEOUT + path.slice(at);
}

/** @param path without slashes around it; the container has ended, and nobody else is in the tree. */
function openBelow(root: number, path: ByteString): number {
  let fd = check(openat(root, '.', OPEN), 'open the upper');
  for (const name of path.split('/').filter((part) => part !== '')) {
    const next = openat(fd, name, OPEN);
    close(fd);
    fd = check(next, `open ${path} of the upper`);
  }
  return fd;
}

function showLayersBelow(root: number): void {
  for (const name of OPAQUE_XATTRS) {
    const removed = removexattr(root, SELF, name);
    if (removed !== -ENODATA && removed !== -EOPNOTSUPP) check(removed, 'show the layers below the upper');
  }
}

/** Runs `work`, which changes entries of a directory that the container did not change. */
function keepingTimes(directory: number, work: () => void): void {
  check(fstat(directory, attr), 'stat a directory of the upper');
  const times = new Times();
  times.setAtime(...wordsOf(attr.atimeSec), attr.atimeNsec);
  times.setMtime(...wordsOf(attr.mtimeSec), attr.mtimeNsec);
  work();
  check(futimens(directory, times), 'set the times of a directory of the upper');
}

function wordsOf(seconds: number): [low: number, high: number] {
  return [seconds | 0, Math.floor(seconds / 2 ** 32)];
}

/** Removes what the layers below have all the same. */
class Thinning {
  readonly #root: number;
  readonly #kept: ReadonlySet<ByteString>;
  /** Files of which a name is kept: the others are kept with it, so that they stay one file. */
  readonly #linked = new Set<number>();

  constructor(root: number, changes: readonly Change[]) {
    this.#root = root;
    this.#kept = new Set(changes.flatMap(({ kind, path }) => (kind === 'D' ? [path, fileForm(path)] : [path])));
    for (const { kind, path } of changes) if (kind !== 'D') this.#noteLinks(path);
  }

  #noteLinks(path: ByteString): void {
    const at = path.lastIndexOf('/');
    const parent = openBelow(this.#root, path.slice(1, at));
    const isThere = statat(parent, path.slice(at + 1), attr) === 0;
    close(parent);
    if (isThere && (attr.mode & S_IFMT) !== S_IFDIR && attr.nlink > 1) this.#linked.add(attr.ino);
  }

  run(): void {
    this.#thin(this.#root, '');
  }

  /** Answers whether anything is left in the directory. */
  #thin(directory: number, path: ByteString): boolean {
    let isLeft = false;
    keepingTimes(directory, () => {
      for (const name of entriesOf(directory)) if (this.#keep(directory, name, `${path}/${name}`)) isLeft = true;
    });
    return isLeft;
  }

  #keep(directory: number, name: ByteString, path: ByteString): boolean {
    check(statat(directory, name, attr), `stat ${path}`);
    const { ino } = attr;
    if ((attr.mode & S_IFMT) === S_IFDIR) return this.#keepDirectory(directory, name, path);
    if (this.#kept.has(path) || this.#linked.has(ino)) return true;
    check(unlinkat(directory, name), `remove ${path}`);
    return false;
  }

  #keepDirectory(parent: number, name: ByteString, path: ByteString): boolean {
    const directory = check(openat(parent, name, OPEN), `open ${path}`);
    const isLeft = this.#thin(directory, path);
    close(directory);
    if (isLeft || this.#kept.has(path)) return true;
    check(unlinkat(parent, name, AT_REMOVEDIR), `remove ${path}`);
    return false;
  }
}

function entriesOf(directory: number): ByteString[] {
  const names: ByteString[] = [];
  const fresh = check(openat(directory, '.', OPEN), 'open a directory of the upper');
  const read = readDirectory(fresh, (name) => void names.push(name));
  close(fresh);
  check(read, 'read a directory of the upper');
  return names;
}
