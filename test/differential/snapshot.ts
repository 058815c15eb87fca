import { readAll } from './directory.ts';
import { cstring, Failure, libcCalls as libc } from './libc.ts';
import { describe, isDirectory, type Status, statusOf } from './status.ts';
import { summary } from './world.ts';

const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
const O_CLOEXEC = 0o2000000;
const DT_DIR = 4;
const S_IFMT = 0o170000;
const S_IFLNK = 0o120000;
const S_IFREG = 0o100000;
const CAPACITY = 65_536;

const buffer = Buffer.alloc(CAPACITY);

/** A file of a tree: what is compared with another union, and its number, which only this one has. */
export interface Seen {
  readonly path: string;
  readonly what: string;
  readonly ino: string;
}

function opened<Answer>(path: string, flags: number, action: (fd: number) => Answer): Answer {
  const fd = libc.open(cstring(path), flags | O_CLOEXEC, 0);
  try {
    return action(fd);
  } finally {
    libc.close(fd);
  }
}

function orErrno(action: () => string): string {
  try {
    return action();
  } catch (error) {
    if (error instanceof Failure) return error.code;
    throw error;
  }
}

function contents(path: string): string {
  return opened(path, 0, (fd) => {
    const parts: Buffer[] = [];
    for (let length = libc.read(fd, buffer, CAPACITY); length > 0; length = libc.read(fd, buffer, CAPACITY))
      parts.push(Buffer.from(buffer.subarray(0, length)));
    return summary(Buffer.concat(parts));
  });
}

function xattrs(path: string): string {
  const length = libc.listxattr(cstring(path), buffer, CAPACITY);
  const names = buffer.toString('latin1', 0, length).split('\0').filter(Boolean).sort();
  const value = (name: string) =>
    orErrno(() => buffer.toString('hex', 0, libc.getxattr(cstring(path), cstring(name), buffer, CAPACITY)));
  return names.map((name) => ` ${name}=${value(name)}`).join('');
}

function whatIs(path: string, status: Status): string {
  const type = status.mode & S_IFMT;
  const parts = [describe(status)];
  if (type === S_IFLNK)
    parts.push(`-> ${buffer.toString('latin1', 0, libc.readlink(cstring(path), buffer, CAPACITY))}`);
  if (type === S_IFREG) parts.push(orErrno(() => contents(path)));
  return parts.join(' ') + orErrno(() => xattrs(path));
}

/** A walk through a tree. */
class Walk {
  readonly seen: Seen[] = [];
  readonly #root: string;
  readonly #isReference: boolean;
  /** Of each file: its first name. */
  readonly #firstNames = new Map<bigint, string>();
  /** How many names each file has, and how many it says that it has. */
  readonly #links = new Map<bigint, { readonly path: string; readonly said: number; found: number }>();
  #isWhole = true;

  constructor(root: string, isReference: boolean) {
    this.#root = root;
    this.#isReference = isReference;
    this.#visit('', undefined);
    if (this.#isWhole && !isReference) this.#checkLinks();
  }

  #visit(relative: string, listedIno: bigint | undefined): void {
    const path = relative === '' ? this.#root : `${this.#root}/${relative}`;
    let status: Status;
    try {
      status = statusOf(cstring(path));
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      this.#fail(relative, error.code);
      return;
    }
    const first = this.#firstNames.get(status.ino);
    const other = first === undefined ? '' : ` is ${first}`;
    const number = listedIno === undefined || listedIno === status.ino ? '' : ' d_ino differs';
    this.seen.push({ path: relative, what: whatIs(path, status) + other + number, ino: String(status.ino) });
    if (isDirectory(status)) {
      this.#visitAll(path, relative, status);
    } else {
      this.#firstNames.set(status.ino, first ?? relative);
      this.#addLink(relative, status, 1);
    }
  }

  #visitAll(path: string, relative: string, status: Status): void {
    // Its own name and `.`.
    this.#addLink(relative, status, 2);
    const failed = orErrno(() => {
      const entries = opened(path, O_DIRECTORY, (fd) => readAll(fd, this.#isReference));
      for (const { name, ino, type } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
        if (name === '.' || name === '..') continue;
        if (type === DT_DIR) this.#addLink(relative, status, 1);
        this.#visit(relative === '' ? name : `${relative}/${name}`, ino);
      }
      return '';
    });
    if (failed !== '') this.#fail(`${relative}/`, failed);
  }

  #addLink(path: string, { ino, nlink }: Status, often: number): void {
    const known = this.#links.get(ino) ?? { path, said: nlink, found: 0 };
    known.found += often;
    this.#links.set(ino, known);
  }

  #fail(path: string, errno: string): void {
    this.#isWhole = false;
    this.seen.push({ path, what: errno, ino: '' });
  }

  #checkLinks(): void {
    for (const { path, said, found } of this.#links.values())
      // A lower file's names that other layers hide are counted, too.
      if (said < found) this.seen.push({ path, what: `has ${found} links and says ${said}`, ino: '' });
  }
}

/**
 * All that a program can see of a tree, in the order of the names. Names of one file are told together (`is a/b`), and
 * where a directory gives another number for a name than stat(2) does, or, but for the reference, which promises less, a
 * file another count of links than it has.
 */
export function snapshot(root: string, isReference: boolean): Seen[] {
  return new Walk(root, isReference).seen;
}
