import {
  DOT_WHITEOUT,
  hasDotForm,
  hiddenBy,
  isDotMark,
  isOpaque,
  isWhiteoutDevice,
  isXattrWhiteout,
} from '../../fs/layer-format.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
} from '../../fs/sys/constants.ts';
import { readDirectory } from '../../fs/sys/directory.ts';
import { ENOENT, ENOTDIR, check } from '../../fs/sys/errno.ts';
import { close, fstat, openat, readlinkat, statat } from '../../fs/sys/file.ts';
import { Memory } from '../../fs/sys/memory.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { type OwnerRecords, ownerRecordsOf, REAL_OWNERS } from '../image/layer-file.ts';
import { type SourceFile } from '../image/pack.ts';

// Layers read as what their union shows, without mounting it: for a container that does not run, and for what must be
// known before it does.

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** What one layer has under a name. */
export type LayerEntry = 'absent' | 'whiteout' | 'directory' | 'symlink' | 'other';

const attr = new Attr();

/** @param directory an open directory of a layer. */
export function entryIn(directory: number, name: ByteString): LayerEntry {
  const status = statat(directory, name, attr);
  if (status === -ENOENT || status === -ENOTDIR) return isHidden(directory, name) ? 'whiteout' : 'absent';
  check(status, `look at ${toText(name)} in a layer`);
  if (hasDotForm(name) && isDotMark(directory, name)) return isHidden(directory, name) ? 'whiteout' : 'absent';
  const type = attr.mode & S_IFMT;
  if (type === S_IFDIR) return 'directory';
  if (type === S_IFLNK) return 'symlink';
  if (isWhiteoutDevice(attr)) return 'whiteout';
  return type === S_IFREG && attr.size === 0 && isXattrWhiteout(directory, name) ? 'whiteout' : 'other';
}

/** Whether a directory has the mark that hides a name of the layers below, beside which it may have that name itself. */
export function isHidden(directory: number, name: ByteString): boolean {
  return isDotMark(directory, DOT_WHITEOUT + name);
}

/** The names that an open directory of a layer has or hides; marks are given by the name that they hide. */
export function namesIn(directory: number): Set<ByteString> {
  const names = new Set<ByteString>();
  const fresh = check(openat(directory, '.', OPEN), 'open a directory of a layer');
  const status = readDirectory(fresh, (name) => {
    const mark = hasDotForm(name) && isDotMark(directory, name);
    const shown = mark ? hiddenBy(name) : name;
    if (shown !== undefined) names.add(shown);
  });
  close(fresh);
  check(status, 'read a directory of a layer');
  return names;
}

/** What the union of some layers has under a name. */
export type Found =
  | { readonly kind: 'absent' }
  /** In a directory of the stack that was asked, which keeps it open. */
  | { readonly kind: 'other'; readonly source: SourceFile }
  | { readonly kind: 'symlink'; readonly source: SourceFile; readonly target: ByteString }
  | { readonly kind: 'directory'; readonly stack: DirectoryStack };

/** A directory of a layer, held open. */
interface Member {
  readonly fd: number;
  readonly records: OwnerRecords;
}

const link = new Memory(4096);

/** A directory of the union: the directories of the layers that merge in it, the topmost first, held open. */
export class DirectoryStack {
  readonly #members: readonly Member[];

  private constructor(members: readonly Member[]) {
    this.#members = members;
  }

  /**
   * @param layers absolute paths, the topmost first.
   * @param withOwners it matters where the layers keep their files' owners.
   */
  static open(layers: readonly ByteString[], withOwners = false): DirectoryStack {
    const members: Member[] = [];
    for (const layer of layers) {
      const fd = check(openat(-1, layer, OPEN), `open layer ${toText(layer)}`);
      members.push({ fd, records: withOwners ? ownerRecordsOf(fd) : REAL_OWNERS });
      if (isOpaque(fd)) break;
    }
    return new DirectoryStack(members);
  }

  /** The directory whose metadata the union shows. */
  get top(): SourceFile | undefined {
    const [top] = this.#members;
    return top === undefined ? undefined : { dirfd: top.fd, name: SELF, records: top.records };
  }

  /** A directory found belongs to the caller, who closes it. */
  find(name: ByteString): Found {
    const merged: Member[] = [];
    for (const { fd, records } of this.#members) {
      const entry = entryIn(fd, name);
      if (entry === 'absent') continue;
      if (entry !== 'directory') {
        if (merged.length > 0 || entry === 'whiteout') break;
        const source = { dirfd: fd, name, records };
        return entry === 'symlink'
          ? { kind: 'symlink', source, target: readLink(fd, name) }
          : { kind: 'other', source };
      }
      const directory = check(openat(fd, name, OPEN), `open directory ${toText(name)} of a layer`);
      merged.push({ fd: directory, records });
      if (isOpaque(directory) || isHidden(fd, name)) break;
    }
    return merged.length === 0 ? { kind: 'absent' } : { kind: 'directory', stack: new DirectoryStack(merged) };
  }

  /** What is at a path, through no symlink. A file is in the directory that comes with it, the caller's to close. */
  resolve(path: readonly ByteString[]): { readonly found: Found; readonly parent: DirectoryStack | undefined } {
    const parent = this.openPath(path.slice(0, -1));
    return { found: parent?.find(path.at(-1) ?? '') ?? { kind: 'absent' }, parent };
  }

  /** The directory at a path, the caller's to close; undefined where there is none. */
  openPath(path: readonly ByteString[]): DirectoryStack | undefined {
    let stack = this.#copy();
    for (const name of path) {
      const found = stack.find(name);
      stack.close();
      if (found.kind !== 'directory') return undefined;
      stack = found.stack;
    }
    return stack;
  }

  #copy(): DirectoryStack {
    return new DirectoryStack(
      this.#members.map(({ fd, records }) => ({ fd: check(openat(fd, '.', OPEN), 'open a layer anew'), records })),
    );
  }

  /** Whether the union has the name. */
  has(name: ByteString): boolean {
    const found = this.find(name);
    if (found.kind === 'directory') found.stack.close();
    return found.kind !== 'absent';
  }

  /** Whether another stack is of the very same directories, and so shows the same. */
  isSame(other: DirectoryStack): boolean {
    if (this.#members.length !== other.#members.length) return false;
    return this.#members.every(({ fd, records }, at) => {
      const { fd: otherFd, records: otherRecords } = other.#members[at] ?? { fd: -1, records: '' };
      return records === otherRecords && isOneDirectory(fd, otherFd);
    });
  }

  /** All names of the union in this directory. */
  names(): ByteString[] {
    const candidates = new Set(this.#members.flatMap(({ fd }) => [...namesIn(fd)]));
    return [...candidates].filter((name) => this.has(name));
  }

  close(): void {
    for (const { fd } of this.#members) close(fd);
  }
}

const otherAttr = new Attr();

function isOneDirectory(one: number, other: number): boolean {
  check(fstat(one, attr), 'stat a directory of a layer');
  check(fstat(other, otherAttr), 'stat a directory of a layer');
  return attr.dev === otherAttr.dev && attr.ino === otherAttr.ino;
}

function readLink(directory: number, name: ByteString): ByteString {
  const length = check(readlinkat(directory, name, link.address, link.size), `read the symlink ${toText(name)}`);
  return link.bytes.toString('latin1', 0, length);
}
