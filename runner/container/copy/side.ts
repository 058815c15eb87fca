import { type ByteString, toText } from '../../../fs/sys/bytes.ts';
import {
  AT_FDCWD,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
} from '../../../fs/sys/constants.ts';
import { Attr } from '../../../fs/sys/attr.ts';
import { ELOOP, ENOENT, ENOTDIR, SystemError, check } from '../../../fs/sys/errno.ts';
import { close, openat, readlinkat, statat } from '../../../fs/sys/file.ts';
import { Memory } from '../../../fs/sys/memory.ts';
import { openDirectory } from '../../image/directory-walker.ts';
import { type Inside } from '../stage/inside.ts';

/** One side of a copy: a filesystem in which paths are resolved. */
export interface Side {
  /** For messages: a container's name with its colon, empty for the host. */
  readonly label: string;
  /** A descriptor of what is at a path, or a negative errno. */
  readonly open: (path: ByteString, flags: number) => number;
}

export const HOST: Side = {
  label: '',
  open: (path, flags) => openat(AT_FDCWD, path, flags | O_CLOEXEC),
};

/** A container's filesystem: no symlink in it leads out of it, whenever it came there. */
export function containerSide(inside: Inside, name: string): Side {
  return { label: `${name}:`, open: (path, flags) => inside.tryOpen(path, flags) };
}

/** What is at a path. Descriptors are the caller's to close. */
export type Location = { readonly kind: 'directory'; readonly fd: number; readonly name: ByteString } | NamedLocation;

/** A name in an open directory. */
interface NamedLocation {
  readonly kind: 'other' | 'absent';
  readonly parent: number;
  readonly name: ByteString;
}

const attr = new Attr();
const link = new Memory(4096);
// The kernel's own limit of symlinks in one path, MAXSYMLINKS.
const MAX_SYMLINKS = 40;

/**
 * Finds what is at a path. Only its last component is looked at here, through the open directory that it is in: who
 * changes the path meanwhile changes what is copied, and nothing else.
 *
 * @param follow a symlink at the end of the path, too, which a slash at its end always asks for.
 */
export function locate(side: Side, path: ByteString, follow: boolean): Location {
  let current = path;
  for (let links = 0; links <= MAX_SYMLINKS; links += 1) {
    const { directory, name } = split(current);
    if (name === '' || name === '..') return { kind: 'directory', fd: openWhole(side, current), name };
    const parent = side.open(directory, O_PATH | O_DIRECTORY);
    if (parent < 0) throw notThere(side, path, parent);
    const found = lookAt(side, parent, name, path, follow || asksForDirectory(current));
    if (typeof found !== 'string') return found;
    close(parent);
    current = found.startsWith('/') ? found : `${directory}/${found}`;
  }
  throw notThere(side, path, -ELOOP);
}

/** What is there, or the target of a symlink that is to be followed. */
function lookAt(
  side: Side,
  parent: number,
  name: ByteString,
  path: ByteString,
  follow: boolean,
): Location | ByteString {
  const status = statat(parent, name, attr);
  if (status === -ENOENT) return { kind: 'absent', parent, name };
  if (status < 0) throw notThere(side, path, status);
  const type = attr.mode & S_IFMT;
  if (type === S_IFLNK && follow) {
    const length = check(
      readlinkat(parent, name, link.address, link.size),
      `read the symlink ${side.label}${toText(path)}`,
    );
    return link.bytes.toString('latin1', 0, length);
  }
  if (type !== S_IFDIR) return { kind: 'other', parent, name };
  const fd = openDirectory(parent, name);
  close(parent);
  if (fd < 0) throw notThere(side, path, fd);
  return { kind: 'directory', fd, name };
}

function openWhole(side: Side, path: ByteString): number {
  const fd = side.open(path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) throw notThere(side, path, fd);
  return fd;
}

/** The path up to its last name, and that name; empty where the path ends in none, as `/` and `.` do. */
function split(path: ByteString): { readonly directory: ByteString; readonly name: ByteString } {
  const trimmed = path.replace(/(?:\/+\.?)+$/, '');
  if (trimmed === '' || trimmed === '.') return { directory: path, name: '' };
  const at = trimmed.lastIndexOf('/');
  const directory = at < 0 ? '.' : trimmed.slice(0, at + 1);
  return { directory, name: trimmed.slice(at + 1) };
}

/** Whether a path can only be a directory's. */
export function asksForDirectory(path: ByteString): boolean {
  return /(?:^|\/)\.{0,2}$/.test(path);
}

/** Whether it means what is in the directory, and not the directory: docker's `SRC/.`. */
export function asksForContents(path: ByteString): boolean {
  return /(?:^|\/)\.$/.test(path);
}

/** What a copy is named after: the last name of a path, empty for a root. */
export function baseName(path: ByteString): ByteString {
  const names: ByteString[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names.at(-1) ?? '';
}

function notThere(side: Side, path: ByteString, errno: number): Error {
  const shown = `${side.label}${toText(path)}`;
  if (errno === -ENOTDIR) return new Error(`${shown}: part of the path is no directory`);
  return new SystemError(`open ${shown}`, errno);
}
