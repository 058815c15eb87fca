import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString, toBytes } from '../../fs/sys/bytes.ts';
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG } from '../../fs/sys/constants.ts';
import { W_OK, access } from '../../fs/sys/process.ts';
import { readDirectory } from '../../fs/sys/directory.ts';
import { ENOENT, check } from '../../fs/sys/errno.ts';
import { close, statat } from '../../fs/sys/file.ts';
import { changesOf } from '../container/changes.ts';
import { type Container } from '../container/container.ts';
import { openDirectory } from '../image/directory-walker.ts';
import { type FileDescription, describeFile } from '../image/layer-file.ts';
import { Warnings } from '../image/warnings.ts';
import { openParent } from './open-parent.ts';
import { type ApplicationPlan } from './try.ts';

const attr = new Attr();

/** What is found by a look at all changes before the first of them is made. */
export interface Survey {
  readonly conflicts: readonly ByteString[];
  /** Paths in directories that may not be written to. */
  readonly forbidden: readonly ByteString[];
  readonly plan: ApplicationPlan;
}

/**
 * Looks for what a try has changed, and somebody else too since it began: by the time of the last change of any kind, which
 * nobody can set. What an interrupted application has made already is none of that.
 */
export function survey(container: Container, root: number, started: number): Survey {
  const conflicts: ByteString[] = [];
  const deletions: ByteString[] = [];
  const forbidden: ByteString[] = [];
  const links = new Map<string, ByteString[]>();
  const warnings = new Warnings();
  const { upper, work, lowers } = container;
  for (const change of changesOf({ upper: toBytes(upper), work: toBytes(work), lowers }, true)) {
    let file: FileDescription | undefined;
    if (change.kind === 'D') deletions.push(change.path);
    else {
      const { dirfd, name, records } = change.source;
      file = describeFile(dirfd, name, records, change.path, warnings);
      if (file.linkKey !== undefined) links.set(file.linkKey, [...(links.get(file.linkKey) ?? []), change.path]);
    }
    const { fd, name } = openParent(root, change.path);
    // Its directory is new, or gone, or something else: then that is told.
    if (fd < 0) continue;
    const isOne =
      file === undefined || change.kind === 'D'
        ? hasChangedSince(fd, name, started)
        : isConflict(fd, name, change.kind, file, started);
    if (isOne) conflicts.push(change.path);
    if (file?.type !== 'directory' && access(fd, '.', W_OK) < 0) forbidden.push(change.path);
    close(fd);
  }
  const groups = [...links.values()].filter((names) => names.length > 1);
  return { conflicts, forbidden, plan: { links: groups, deletions, isMade: false } };
}

function isConflict(
  parent: number,
  name: ByteString,
  kind: 'A' | 'C',
  file: FileDescription,
  started: number,
): boolean {
  const status = statat(parent, name, attr);
  if (status === -ENOENT) return kind === 'C' && file.type !== 'directory';
  check(status, 'look at a file of the host');
  const isDirectory = (attr.mode & S_IFMT) === S_IFDIR;
  if (file.type === 'directory' && isDirectory) return false;
  if (isApplied(parent, name, file)) return false;
  return kind === 'A' || hasChangedSince(parent, name, started);
}

const TYPES: Readonly<Record<number, FileDescription['type']>> = {
  [S_IFREG]: 'file',
  [S_IFDIR]: 'directory',
  [S_IFLNK]: 'symlink',
  [S_IFCHR]: 'character-device',
  [S_IFBLK]: 'block-device',
  [S_IFIFO]: 'fifo',
};

/** Whether a file of the host is as it is to be, its time of modification included. */
export function isApplied(parent: number, name: ByteString, file: FileDescription): boolean {
  if (statat(parent, name, attr) < 0) return false;
  return (
    TYPES[attr.mode & S_IFMT] === file.type &&
    (attr.mode & 0o7777) === file.mode &&
    attr.uid === file.uid &&
    attr.gid === file.gid &&
    (file.type !== 'file' || attr.size === file.size) &&
    attr.mtimeSec === file.mtime.seconds &&
    attr.mtimeNsec === file.mtime.nanoseconds
  );
}

/** Whether a file, or anything but directories below a directory, was changed since; what is not there was not. */
function hasChangedSince(parent: number, name: ByteString, started: number): boolean {
  if (statat(parent, name, attr) < 0) return false;
  if ((attr.mode & S_IFMT) !== S_IFDIR) return attr.ctimeSec * 1000 + attr.ctimeNsec / 1e6 > started;
  const fd = check(openDirectory(parent, name), 'open a directory of the host');
  try {
    return namesOf(fd).some((child) => hasChangedSince(fd, child, started));
  } finally {
    close(fd);
  }
}

// All names first: readDirectory's buffer is one a thread.
function namesOf(fd: number): ByteString[] {
  const names: ByteString[] = [];
  check(
    readDirectory(fd, (name) => names.push(name)),
    'read a directory of the host',
  );
  return names;
}
