import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';

import { Attr } from '../../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../../fs/sys/bytes.ts';
import {
  O_CLOEXEC,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../../fs/sys/constants.ts';
import { readDirectory } from '../../../fs/sys/directory.ts';
import { check } from '../../../fs/sys/errno.ts';
import { close, fstat, openat, readlinkat, statat } from '../../../fs/sys/file.ts';
import { Memory } from '../../../fs/sys/memory.ts';
import { getxattr, SELF, xattrNames } from '../../../fs/sys/xattr.ts';
import { DOT_WHITEOUT } from '../../../fs/layer-format.ts';
import { openDirectory } from '../directory-walker.ts';
import { isHostLabel } from '../entry-metadata.ts';

/** Digests of the content of regular files, by inode number of those that stand for them. */
export type Contents = ReadonlyMap<number, string>;

/** What is told of a comparison; all are counted. */
const TOLD = 5;
const CHUNK = 1 << 20;
const LINK_CAPACITY = 4096;
const XATTR_CAPACITY = 65536;

const attr = new Attr();
const link = new Memory(LINK_CAPACITY);
const value = new Memory(XATTR_CAPACITY);
const chunk = Buffer.alloc(CHUNK);

/** A file but for its name and content. */
interface Description {
  readonly type: number;
  readonly ino: number;
  readonly links: number;
  /** What must be the same, by what it is called in a message. */
  readonly facts: ReadonlyMap<string, string>;
}

/**
 * Holds the tree `actual` against `expected`, a tree of the same names, types and metadata whose files are empty, and
 * whose content is known by `contents`. Symlinks are followed nowhere.
 */
export class TreeComparison {
  readonly #contents: Contents;
  /** Inodes of `actual` by those of `expected`: names of one file are names of one file there. */
  readonly #links = new Map<number, number>();
  readonly differences: string[] = [];
  #count = 0;

  constructor(contents: Contents) {
    this.#contents = contents;
  }

  /** How many differences there are, of which `differences` has the first. */
  get count(): number {
    return this.#count;
  }

  #tell(path: ByteString, what: string): void {
    this.#count += 1;
    if (this.differences.length < TOLD) this.differences.push(`${toText(path) || '/'} ${what}`);
  }

  /** Compares two open directories, and all below. */
  compare(expected: number, actual: number, path: ByteString = ''): void {
    this.#compareFacts(path, describe(expected, SELF), describe(actual, SELF));
    this.#compareEntries(expected, actual, path);
  }

  #compareEntries(expected: number, actual: number, path: ByteString): void {
    const [wanted, found] = [namesIn(expected), namesIn(actual)];
    for (const name of found) if (!wanted.has(name)) this.#tell(`${path}/${name}`, 'is not in the archive');
    for (const name of wanted) {
      if (found.has(name)) this.#compareFile(expected, actual, name, `${path}/${name}`);
      else this.#tell(`${path}/${name}`, 'is missing');
    }
  }

  #compareFile(expected: number, actual: number, name: ByteString, path: ByteString): void {
    const [wanted, found] = [describe(expected, name), describe(actual, name)];
    this.#compareFacts(path, wanted, found);
    if (wanted.type !== found.type) return;
    if (wanted.type === S_IFDIR) this.#descend(expected, actual, name, path);
    else this.#compareLinks(path, wanted, found, () => this.#compareContent(actual, name, path, wanted));
  }

  #compareFacts(path: ByteString, wanted: Description, found: Description): void {
    for (const [what, expected] of wanted.facts) {
      const actual = found.facts.get(what);
      if (actual !== expected) this.#tell(path, `has ${what} ${actual ?? 'none'}, where ${expected} is expected`);
    }
    for (const what of found.facts.keys()) {
      if (!wanted.facts.has(what)) this.#tell(path, `has ${what}, which is not in the archive`);
    }
  }

  #descend(expected: number, actual: number, name: ByteString, path: ByteString): void {
    const wanted = check(openDirectory(expected, name), `open ${toText(path)}`);
    const found = openDirectory(actual, name);
    try {
      if (found < 0) this.#tell(path, 'cannot be opened');
      else this.#compareEntries(wanted, found, path);
    } finally {
      close(wanted);
      if (found >= 0) close(found);
    }
  }

  /** @param once compares what all names of a file share. */
  #compareLinks(path: ByteString, wanted: Description, found: Description, once: () => void): void {
    const known = this.#links.get(wanted.ino);
    if (known === undefined) once();
    else if (known !== found.ino) this.#tell(path, 'is another file than those that it is a hard link of');
    if (wanted.links > 1) this.#links.set(wanted.ino, known ?? found.ino);
  }

  #compareContent(actual: number, name: ByteString, path: ByteString, wanted: Description): void {
    if (wanted.type !== S_IFREG) return;
    const expected = this.#contents.get(wanted.ino);
    // What was made by the unpacking itself, such as a whiteout, is empty, and its size has been compared.
    if (expected !== undefined && digestIn(actual, name) !== expected) this.#tell(path, 'has another content');
  }
}

function namesIn(directory: number): Set<ByteString> {
  const names = new Set<ByteString>();
  // A descriptor of its own: the offset of this one may be anywhere.
  const fd = check(openat(directory, '.', O_RDONLY | O_CLOEXEC), 'open a directory');
  try {
    check(
      readDirectory(fd, (name) => names.add(name)),
      'read a directory',
    );
  } finally {
    close(fd);
  }
  return names;
}

function describe(dirfd: number, name: ByteString): Description {
  check(name === SELF ? fstat(dirfd, attr) : statat(dirfd, name, attr), `look at ${toText(name)}`);
  const type = attr.mode & S_IFMT;
  const { ino, nlink } = attr;
  const facts = new Map([
    ['type and mode', attr.mode.toString(8)],
    ['owner', `${attr.uid}:${attr.gid}`],
    ['mtime', `${attr.mtimeSec}.${String(attr.mtimeNsec).padStart(9, '0')}`],
  ]);
  if (type !== S_IFDIR) facts.set('links', String(nlink));
  if (type === S_IFREG) facts.set('size', String(attr.exactSize));
  if (type !== S_IFDIR && type !== S_IFREG) facts.set('device', `${attr.rdevMajor}:${attr.rdevMinor}`);
  if (type === S_IFLNK) facts.set('target', JSON.stringify(toText(targetOf(dirfd, name))));
  addXattrs(dirfd, name, facts);
  // A mark's time is that of the unpacking.
  if (isWhiteout(name, facts)) facts.delete('mtime');
  return { type, ino, links: nlink, facts };
}

/** In any of the forms in which a layer has one; a name in an archive that looks like one is never a file's. */
function isWhiteout(name: ByteString, facts: ReadonlyMap<string, string>): boolean {
  if (name.startsWith(DOT_WHITEOUT)) return true;
  const isMarked = [...facts.keys()].some((fact) => fact.startsWith('extended') && fact.endsWith('overlay.whiteout'));
  return isMarked || (facts.get('device') === '0:0' && facts.get('type and mode')?.startsWith('20') === true);
}

function targetOf(dirfd: number, name: ByteString): ByteString {
  const length = check(readlinkat(dirfd, name, link.address, link.size), `read symlink ${toText(name)}`);
  return link.bytes.toString('latin1', 0, length);
}

function addXattrs(dirfd: number, name: ByteString, facts: Map<string, string>): void {
  const names = xattrNames(dirfd, name);
  for (const xattr of typeof names === 'number' ? [] : names) {
    if (isHostLabel(xattr)) continue;
    const size = getxattr(dirfd, name, xattr, value.address, value.size);
    if (size >= 0) facts.set(`extended attribute ${toText(xattr)}`, value.bytes.toString('hex', 0, size));
  }
}

// O_NONBLOCK: a fifo that has just taken the file's place must not hold us up.
function digestIn(dirfd: number, name: ByteString): string {
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const fd = check(openat(dirfd, name, flags), `open ${toText(name)}`);
  try {
    const hash = createHash('sha256');
    for (let length = readSync(fd, chunk); length > 0; length = readSync(fd, chunk)) {
      hash.update(chunk.subarray(0, length));
    }
    return hash.digest('hex');
  } finally {
    close(fd);
  }
}
