import { Attr, encodeDevice } from '../../fs/sys/attr.ts';
import { type ByteString, toBytes, toText } from '../../fs/sys/bytes.ts';
import {
  O_CLOEXEC,
  O_CREAT,
  O_DIRECTORY,
  O_EXCL,
  O_NOFOLLOW,
  O_RDONLY,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
} from '../../fs/sys/constants.ts';
import { readSync } from 'node:fs';
import { check } from '../../fs/sys/errno.ts';
import {
  close,
  fsync,
  linkat,
  mkdirat,
  mknodat,
  openat,
  renameat2,
  statat,
  symlinkat,
  syncfs,
} from '../../fs/sys/file.ts';
import { Times, futimens } from '../../fs/sys/metadata.ts';
import { removeTree } from '../../fs/sys/remove-tree.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { type TreeChange, changesOf } from '../container/changes.ts';
import { type Container } from '../container/container.ts';
import { openDirectory } from '../image/directory-walker.ts';
import { type Metadata, applyMetadata } from '../image/entry-metadata.ts';
import { FileWriter } from '../image/file-writer.ts';
import { type FileDescription, REAL_OWNERS, describeFile } from '../image/layer-file.ts';
import { Warnings } from '../image/warnings.ts';
import { isApplied, survey } from './conflicts.ts';
import { openParent } from './open-parent.ts';
import { type ApplicationPlan, type TryRecord, writeRecord } from './try.ts';

type Presence = Exclude<TreeChange, { readonly kind: 'D' }>;

const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
const CHUNK = 1 << 20;
const attr = new Attr();
const times = new Times();

/**
 * Makes what a try has changed on the host, or goes on where that was interrupted. Every file is there whole, as it was or
 * as it is to be; directories come before what is in them, and what is removed goes last.
 *
 * @throws where something of it was changed on the host since the try began: then nothing is done.
 */
export function applyChanges(container: Container, record: TryRecord): void {
  const root = check(openat(-1, toBytes(record.root), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open ${record.root}`);
  try {
    const { conflicts, forbidden, plan } = survey(container, root, record.started);
    if (forbidden.length > 0) throw new Error(`you may not change ${listed(forbidden)}: nothing is done`);
    if (conflicts.length > 0 && record.plan?.isMade !== true) throw conflict(conflicts);
    // What was planned before the first change knows more than what is found between them.
    const planned = { ...record, plan: record.plan ?? plan };
    writeRecord(container, planned);
    const application = new Application(container, root);
    if (!planned.plan.isMade) application.make(planned.plan);
    check(syncfs(root), 'write the changes to disk');
    writeRecord(container, { ...planned, plan: { ...planned.plan, isMade: true } });
    application.remove(planned.plan);
    check(syncfs(root), 'write the changes to disk');
  } finally {
    close(root);
  }
}

function conflict(paths: readonly ByteString[]): Error {
  return new Error(`the host has changed meanwhile, and nothing is done: ${listed(paths)}`);
}

function listed(paths: readonly ByteString[]): string {
  const shown = paths.slice(0, 10).map((path) => `/${toText(path)}`);
  return shown.join(', ') + (paths.length > shown.length ? ` and ${paths.length - shown.length} more` : '');
}

class Application {
  readonly #container: Container;
  readonly #root: number;
  /** The name under which a file is made: one for the container, so that what a killed process left is found. */
  readonly #aside: ByteString;
  readonly #warnings = new Warnings();
  readonly #directories: (readonly [path: ByteString, metadata: Metadata])[] = [];

  constructor(container: Container, root: number) {
    this.#container = container;
    this.#root = root;
    this.#aside = `.lamina-${container.id.slice(0, 16)}`;
  }

  make({ links }: ApplicationPlan): void {
    const { upper, work, lowers } = this.#container;
    for (const change of changesOf({ upper: toBytes(upper), work: toBytes(work), lowers }, true)) {
      if (change.kind !== 'D') this.#make(change);
    }
    for (const group of links) this.#link(group);
    this.#finishDirectories();
  }

  remove({ deletions }: ApplicationPlan): void {
    for (const path of [...deletions].reverse()) this.#remove(path);
    // What was removed has changed their times.
    this.#finishDirectories();
  }

  /** Names of a file of which one has been replaced. */
  #link(names: readonly ByteString[]): void {
    const [first = '', ...others] = names;
    const one = openParent(this.#root, first);
    check(one.fd, `open /${toText(first)}`);
    for (const path of others) {
      const other = openParent(this.#root, path);
      check(other.fd, `open /${toText(path)}`);
      removeTree(other.fd, this.#aside);
      check(linkat(one.fd, one.name, other.fd, this.#aside), `link /${toText(path)}`);
      check(renameat2(other.fd, this.#aside, other.fd, other.name), `give /${toText(path)} its name`);
      removeTree(other.fd, this.#aside);
      close(other.fd);
    }
    close(one.fd);
  }

  #finishDirectories(): void {
    for (const [path, metadata] of [...this.#directories].reverse()) this.#finishDirectory(path, metadata);
  }

  #make(change: Presence): void {
    const { path, source } = change;
    const file = describeFile(source.dirfd, source.name, source.records, path, this.#warnings);
    const parent = openParent(this.#root, path);
    check(parent.fd, `open the directory of /${toText(path)}`);
    try {
      if (file.type === 'directory') this.#makeDirectory(parent.fd, parent.name, path, file);
      else if (file.type !== undefined) this.#makeFile(parent.fd, parent.name, change, file);
    } finally {
      close(parent.fd);
    }
  }

  #makeDirectory(parent: number, name: ByteString, path: ByteString, file: FileDescription): void {
    const status = statat(parent, name, attr);
    const isDirectory = status === 0 && (attr.mode & S_IFMT) === S_IFDIR;
    if (!isDirectory) {
      if (status === 0) removeTree(parent, name);
      check(mkdirat(parent, name, 0o700), `make the directory /${toText(path)}`);
    }
    this.#directories.push([path, file]);
  }

  /** Directories on the way to a change are somebody else's at times: they are left alone. */
  #isSame(directory: number, { mode, uid, gid, xattrs }: Metadata): boolean {
    const is = describeFile(directory, SELF, REAL_OWNERS, '', this.#warnings);
    return (
      (is.mode & 0o7777) === mode &&
      is.uid === uid &&
      is.gid === gid &&
      is.xattrs.size === xattrs.size &&
      [...xattrs].every(([name, value]) => is.xattrs.get(name) === value)
    );
  }

  #makeFile(parent: number, name: ByteString, change: Presence, file: FileDescription): void {
    const { path } = change;
    if (isApplied(parent, name, file)) return;
    removeTree(parent, this.#aside);
    this.#prepare(parent, change, file);
    const isDirectory = statat(parent, name, attr) === 0 && (attr.mode & S_IFMT) === S_IFDIR;
    if (isDirectory) removeTree(parent, name);
    check(renameat2(parent, this.#aside, parent, name), `give /${toText(path)} its name`);
  }

  #prepare(parent: number, change: Presence, file: FileDescription): void {
    const attempt = `make /${toText(change.path)}`;
    if (file.type === 'file') {
      this.#writeFile(parent, change, file);
      return;
    }
    if (file.type === 'symlink') check(symlinkat(file.target, parent, this.#aside), attempt);
    else if (file.type === 'fifo') check(mknodat(parent, this.#aside, S_IFIFO | 0o600, 0), attempt);
    else {
      const mode = (file.type === 'character-device' ? S_IFCHR : S_IFBLK) | 0o600;
      check(mknodat(parent, this.#aside, mode, encodeDevice(file.major, file.minor)), attempt);
    }
    const isSymlink = file.type === 'symlink';
    applyMetadata({ dirfd: parent, name: this.#aside, isSymlink }, file, this.#warnings);
  }

  #writeFile(parent: number, { path, source, data = source }: Presence, file: FileDescription): void {
    const attempt = `write /${toText(path)}`;
    const from = check(openat(data.dirfd, data.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), attempt);
    const to = openat(parent, this.#aside, CREATE, 0o600);
    try {
      check(to, attempt);
      const writer = new FileWriter(to);
      const buffer = Buffer.allocUnsafe(CHUNK);
      for (let length = readSync(from, buffer); length > 0; length = readSync(from, buffer)) {
        writer.write(Buffer.from(buffer.subarray(0, length)));
      }
      writer.finish();
      applyMetadata({ dirfd: to, name: SELF, isSymlink: false }, file, this.#warnings);
      check(fsync(to), attempt);
    } finally {
      close(from);
      if (to >= 0) close(to);
    }
  }

  #remove(path: ByteString): void {
    const { fd, name } = openParent(this.#root, path);
    // Gone with its directory.
    if (fd < 0) return;
    try {
      removeTree(fd, name);
    } finally {
      close(fd);
    }
  }

  #finishDirectory(path: ByteString, metadata: Metadata): void {
    const attempt = `open /${toText(path)}`;
    const { fd, name } = openParent(this.#root, path);
    const directory = check(openDirectory(check(fd, attempt), name), attempt);
    close(fd);
    const { seconds, nanoseconds } = metadata.mtime;
    if (!this.#isSame(directory, metadata)) {
      applyMetadata({ dirfd: directory, name: SELF, isSymlink: false }, metadata, this.#warnings);
    } else {
      times.omitAtime();
      times.setMtime(seconds >>> 0, Math.floor(seconds / 0x100000000), nanoseconds);
      // Only its owner may: it matters little.
      futimens(directory, times);
    }
    close(directory);
  }
}
