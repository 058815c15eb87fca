import { Attr, encodeDevice } from '../../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../../fs/sys/bytes.ts';
import {
  O_CLOEXEC,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
  O_WRONLY,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFMT,
  S_ISGID,
  S_ISUID,
} from '../../../fs/sys/constants.ts';
import { EBUSY, EEXIST, ENOENT, EPERM, check } from '../../../fs/sys/errno.ts';
import {
  close,
  linkat,
  mkdirat,
  mknodat,
  openat,
  renameat2,
  statat,
  symlinkat,
  unlinkat,
} from '../../../fs/sys/file.ts';
import { SELF } from '../../../fs/sys/xattr.ts';
import { asideName } from '../../image/archive/aside.ts';
import { openDirectory } from '../../image/directory-walker.ts';
import { type Metadata, type Target, applyMetadata, xattrsOf } from '../../image/entry-metadata.ts';
import { parseEntryPath } from '../../image/entry-path.ts';
import { FileWriter } from '../../image/file-writer.ts';
import { type Limits } from '../../image/limits.ts';
import { type OwnerNames } from '../../image/pack.ts';
import { Retained } from '../../image/retained.ts';
import { type TarEntry, entryError } from '../../image/tar.ts';
import { type Warnings } from '../../image/warnings.ts';
import { copyInto } from './copy-into.ts';

/** Whom what is written belongs to, and what of an entry is not taken. */
export interface WriteOptions {
  readonly limits: Limits;
  readonly warnings: Warnings;
  /** Keep the entries' owners; else all belongs to root of the container, or to who copies to the host. */
  readonly keepsOwners: boolean;
  /** Take no set-id bits, file capabilities and device nodes: on the host they would act with the host's rights. */
  readonly isHarmless: boolean;
  /** Who the entries' owners are in the tree. */
  readonly owners?: OwnerNames | undefined;
}

type Path = readonly ByteString[];

const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
/** Directories stay so until all is in them: their own mode might forbid it. */
const UNFINISHED = 0o700;
const CAPABILITY = 'security.capability';

const attr = new Attr();

/**
 * Writes the entries of an archive into a tree that is in use. What is replaced is there whole, in the old form or in
 * the new one, at every moment.
 */
export class TreeWriter {
  readonly #openPath: (path: Path) => number;
  readonly #options: WriteOptions;
  readonly #retained: Retained;
  readonly #directories = new Map<ByteString, Metadata>();

  /** @param openPath the directory at a path below the destination, the caller's to close, or a negative errno. */
  constructor(openPath: (path: Path) => number, options: WriteOptions) {
    this.#openPath = openPath;
    this.#options = options;
    this.#retained = new Retained(options.limits, 'what must be remembered of directories');
  }

  async add(entry: TarEntry): Promise<void> {
    try {
      await this.#add(entry, parseEntryPath(entry.name, this.#options.limits));
    } catch (error) {
      throw entryError(entry.name, error);
    }
  }

  async #add(entry: TarEntry, path: Path): Promise<void> {
    const name = path.at(-1);
    // The destination itself stays as it is.
    if (name === undefined) return;
    const parent = this.#openParent(path);
    try {
      const isThere = statat(parent, name, attr) === 0;
      const isDirectory = isThere && (attr.mode & S_IFMT) === S_IFDIR;
      if (entry.type === 'directory') this.#addDirectory(entry, path, parent, name, isThere, isDirectory);
      else if (isDirectory) throw new Error('it would replace a directory by something else');
      else await this.#replace(entry, parent, name);
    } finally {
      close(parent);
    }
  }

  /** What an archive takes for granted is made. */
  #openParent(path: Path): number {
    const parent = path.slice(0, -1);
    const fd = this.#openPath(parent);
    if (fd !== -ENOENT || parent.length === 0) return check(fd, 'open the directory that it is in');
    const above = this.#openParent(parent);
    const made = mkdirat(above, parent.at(-1) ?? '', 0o755);
    close(above);
    if (made !== -EEXIST) check(made, 'make the directory that it is in');
    return check(this.#openPath(parent), 'open the directory that it is in');
  }

  #addDirectory(
    entry: TarEntry,
    path: Path,
    parent: number,
    name: ByteString,
    isThere: boolean,
    isDirectory: boolean,
  ): void {
    if (isThere && !isDirectory) throw new Error('it is a directory, and would replace something else');
    if (!isThere) check(mkdirat(parent, name, UNFINISHED), 'make the directory');
    this.#retained.add(entry.name.length + 64);
    this.#directories.set(path.join('/'), this.#metadataOf(entry));
  }

  async #replace(entry: TarEntry, parent: number, name: ByteString): Promise<void> {
    const aside = asideName();
    try {
      if (!(await this.#make(entry, parent, aside))) return;
      const renamed = renameat2(parent, aside, parent, name);
      // A mount point, as /etc/hosts is in a container, is nothing that can be replaced.
      if (renamed === -EBUSY && entry.type === 'file') copyInto(parent, aside, name);
      else check(renamed, 'give it its name');
    } finally {
      unlinkat(parent, aside);
    }
  }

  /** Makes the file under another name; false where it is left out. */
  async #make(entry: TarEntry, parent: number, name: ByteString): Promise<boolean> {
    if (entry.type === 'file') await this.#makeRegular(entry, parent, name);
    else if (entry.type === 'link') this.#makeLink(entry, parent, name);
    else {
      const status = this.#makeSpecial(entry, parent, name);
      if (status === -EPERM) {
        this.#options.warnings.add('device node cannot be made here and is left out', toText(entry.name));
        return false;
      }
      check(status, 'make it');
      this.#apply({ dirfd: parent, name, isSymlink: entry.type === 'symlink' }, this.#metadataOf(entry));
    }
    return true;
  }

  async #makeRegular(entry: TarEntry, parent: number, name: ByteString): Promise<void> {
    const fd = check(openat(parent, name, CREATE, 0o600), 'make the file');
    try {
      const writer = new FileWriter(fd);
      for await (const chunk of entry.data) writer.write(chunk);
      writer.finish();
      this.#apply({ dirfd: fd, name: SELF, isSymlink: false }, this.#metadataOf(entry));
    } finally {
      close(fd);
    }
  }

  #makeLink(entry: TarEntry, parent: number, name: ByteString): void {
    const target = parseEntryPath(entry.linkname, this.#options.limits);
    const directory = check(this.#openPath(target.slice(0, -1)), `open the directory of ${toText(entry.linkname)}`);
    const status = linkat(directory, target.at(-1) ?? '', parent, name);
    close(directory);
    check(status, `link it to ${JSON.stringify(toText(entry.linkname))}`);
  }

  #makeSpecial({ type, linkname, major, minor }: TarEntry, parent: number, name: ByteString): number {
    if (type === 'symlink') return symlinkat(linkname, parent, name);
    if (type === 'fifo') return mknodat(parent, name, S_IFIFO | 0o600, 0);
    if (this.#options.isHarmless) return -EPERM;
    const mode = type === 'character-device' ? S_IFCHR : S_IFBLK;
    return mknodat(parent, name, mode | 0o600, encodeDevice(major, minor));
  }

  #metadataOf({ mode, uid, gid, mtime, pax }: TarEntry): Metadata {
    const { keepsOwners, isHarmless, warnings, owners } = this.#options;
    // Inside a user namespace of our own, root is who called us.
    const [user, group] = keepsOwners ? [uid, gid] : [0, 0];
    const xattrs = new Map(xattrsOf(pax, warnings));
    if (isHarmless) xattrs.delete(CAPABILITY);
    return {
      mode: isHarmless ? mode & ~(S_ISUID | S_ISGID) : mode,
      uid: owners?.uid(user) ?? user,
      gid: owners?.gid(group) ?? group,
      mtime,
      xattrs,
    };
  }

  #apply(target: Target, metadata: Metadata): void {
    applyMetadata(target, metadata, this.#options.warnings);
  }

  /** Gives directories their own metadata, the deepest first. */
  finish(): void {
    const deepestFirst = [...this.#directories].sort(([one], [other]) => (one < other ? 1 : -1));
    for (const [key, metadata] of deepestFirst) {
      const dirfd = check(this.#openPath(key.split('/')), `open the directory ${toText(key)}`);
      this.#apply({ dirfd, name: SELF, isSymlink: false }, metadata);
      close(dirfd);
    }
  }
}

/** The directory at a path below an open one, through no symlink: what is copied brings none that lead elsewhere. */
export function openBelow(root: number, path: Path): number {
  let fd = openDirectory(root, '.');
  for (const name of path) {
    if (fd < 0) return fd;
    const next = openDirectory(fd, name);
    close(fd);
    fd = next;
  }
  return fd;
}
