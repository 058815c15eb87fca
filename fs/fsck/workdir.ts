import { isWhiteoutDevice } from '../layer-format.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  S_IFDIR,
  S_IFMT,
} from '../sys/constants.ts';
import { readDirectory } from '../sys/directory.ts';
import { ENOENT, ENOTDIR, check, describeErrno } from '../sys/errno.ts';
import { close, fstat, openat, statat, unlinkat } from '../sys/file.ts';
import { type Problem, type ProblemKind, type Repair, createProblem } from './problem.ts';
import { removeAll } from './repair.ts';

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** Names of what is made in `workdir/work`: overlayfs's and ours are `#1f`, fuse-overlayfs's are plain numbers. */
const TEMPORARY = /^(#[0-9a-f]+|\d+)$/;
const INCOMPATIBLE = 'incompat';
const VOLATILE = 'volatile';

const attr = new Attr();

/** Checks the workdir of an upper. */
export class CheckedWorkdir {
  readonly problems: Problem[] = [];
  readonly failures: string[] = [];
  /** `workdir/index`, or -1. */
  readonly index: number;
  readonly #path: ByteString;
  readonly #fd: number;
  /** `workdir/work`, or -1. */
  readonly work: number;

  /** @throws SystemError where it cannot be opened. */
  constructor(path: ByteString) {
    this.#path = path;
    this.#fd = check(openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open workdir ${toText(path)}`);
    this.work = this.#open('work');
    this.index = this.#open('index');
  }

  /** @param upperDevice as `Attr.dev`. */
  check(upperDevice: number, clearVolatile: boolean): void {
    if (fstat(this.#fd, attr) === 0 && attr.dev !== upperDevice) {
      const choice = 'give the workdir that was used with this upper, or a new one beside it';
      this.report('workdir-filesystem', '/', 'on another filesystem than the upper', choice);
    }
    if (this.work < 0) return;
    for (const name of this.namesIn(this.work, 'work')) {
      if (name === INCOMPATIBLE) this.#checkFeatures(clearVolatile);
      else this.#checkLeftOver(name);
    }
  }

  #checkLeftOver(name: ByteString): void {
    const stated = statat(this.work, name, attr);
    if (stated < 0) return;
    // Kernel overlayfs keeps a whiteout of which it makes others as links, and leaves it behind.
    if (TEMPORARY.test(name) && isWhiteoutDevice(attr)) return;
    const path = `/work/${name}`;
    const remedy = removeAll(() => this.work, name);
    if (TEMPORARY.test(name)) this.report('temporary', path, 'a file that was being made', remedy);
    else this.report('foreign-file', path, 'a file that no union makes there', 'move it away if it is to be kept');
  }

  /** overlayfs's marks of features that another version may not know (Documentation/filesystems/overlayfs.rst). */
  #checkFeatures(clearVolatile: boolean): void {
    const fd = openat(this.work, INCOMPATIBLE, OPEN);
    if (fd < 0) {
      this.report('incompatible', `/work/${INCOMPATIBLE}`, describeErrno(fd), 'look at what it is, and remove it');
      return;
    }
    for (const name of this.namesIn(fd, `work/${INCOMPATIBLE}`)) {
      const path = `/work/${INCOMPATIBLE}/${name}`;
      if (name === VOLATILE) this.report('volatile', path, 'marked as volatile', this.#volatileRemedy(clearVolatile));
      else this.report('incompatible', path, 'an unknown feature', 'mount it with the version that made it');
    }
    close(fd);
  }

  #volatileRemedy(clearVolatile: boolean): Repair | string {
    if (!clearVolatile) return '--clear-volatile removes the mark, once what was written last has been looked at';
    const act = (): number => {
      unlinkat(this.work, `${INCOMPATIBLE}/${VOLATILE}/dirty`);
      const removed = unlinkat(this.work, `${INCOMPATIBLE}/${VOLATILE}`, AT_REMOVEDIR);
      if (removed === 0) unlinkat(this.work, INCOMPATIBLE, AT_REMOVEDIR);
      return removed;
    };
    return { text: 'remove the mark', act };
  }

  report(kind: ProblemKind, path: ByteString, problem: string, remedy: Repair | string): void {
    this.problems.push(createProblem(kind, 'workdir', path, problem, remedy));
  }

  /** Names in an open directory. */
  namesIn(fd: number, text: string): ByteString[] {
    const names: ByteString[] = [];
    const read = readDirectory(fd, (name) => names.push(name));
    if (read < 0) this.failures.push(`cannot read ${toText(this.#path)}/${text}: ${describeErrno(read)}`);
    return names;
  }

  close(): void {
    for (const fd of [this.work, this.index, this.#fd]) if (fd >= 0) close(fd);
  }

  /** Descriptor of a directory in the workdir, -1 where there is none. */
  #open(name: ByteString): number {
    const fd = openat(this.#fd, name, OPEN);
    if (fd >= 0 || fd === -ENOENT) return Math.max(fd, -1);
    const stated = statat(this.#fd, name, attr);
    if (fd === -ENOTDIR || (stated === 0 && (attr.mode & S_IFMT) !== S_IFDIR)) {
      this.report('workdir-unusable', `/${name}`, 'not a directory', 'move it away: a mount makes it anew');
    } else {
      this.failures.push(`cannot open ${toText(this.#path)}/${name}: ${describeErrno(fd)}`);
    }
    return -1;
  }
}
