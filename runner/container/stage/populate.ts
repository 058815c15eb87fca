import { closeSync, existsSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type ByteString, toText } from '../../../fs/sys/bytes.ts';
import { encodeDevice } from '../../../fs/sys/attr.ts';
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
  S_IFIFO,
} from '../../../fs/sys/constants.ts';
import { readDirectory } from '../../../fs/sys/directory.ts';
import { EPERM, check } from '../../../fs/sys/errno.ts';
import { close, linkat, mkdirat, mknodat, openat, symlinkat, syncfs } from '../../../fs/sys/file.ts';
import { removeTree } from '../../../fs/sys/remove-tree.ts';
import { SELF } from '../../../fs/sys/xattr.ts';
import { openDirectory } from '../../image/directory-walker.ts';
import { applyMetadata } from '../../image/entry-metadata.ts';
import { FileWriter } from '../../image/file-writer.ts';
import { type FileDescription, REAL_OWNERS, describeFile } from '../../image/layer-file.ts';
import { withLock } from '../../image/lock.ts';
import { Warnings } from '../../image/warnings.ts';

/** Fills what is mounted in a container with what the image has in its place. */
export interface Populate {
  /** @param target what the image has. */
  readonly volume: (target: number, data: string) => void;
  readonly tmpfs: (target: number, mounted: number) => void;
}

// Beside a volume's data while it is being filled: one that a killed process left half full is filled anew.
const MARK = 'populating';

export const populate: Populate = {
  volume: (target, data) => {
    const directory = dirname(data);
    withLock(join(directory, 'lock'), () => {
      const mark = join(directory, MARK);
      const to = openSync(data, O_RDONLY | O_DIRECTORY);
      try {
        if (existsSync(mark)) for (const name of namesOf(to)) removeTree(to, name);
        if (namesOf(to).length > 0) return;
        writeFileSync(mark, '');
        fill(target, to);
        check(syncfs(to), 'write the volume to disk');
        rmSync(mark);
      } finally {
        closeSync(to);
      }
    });
  },
  tmpfs: (target, mounted) => {
    const to = check(openDirectory(mounted, '.'), 'open the tmpfs');
    fill(target, to);
    close(to);
  },
};

function fill(target: number, to: number): void {
  const from = check(openDirectory(target, '.'), "open the image's directory");
  try {
    new TreeCopy(to).copy(from);
  } finally {
    close(from);
  }
}

// All names first: readDirectory's buffer is one a thread.
function namesOf(directory: number): ByteString[] {
  const names: ByteString[] = [];
  const fresh = check(openDirectory(directory, '.'), 'open a directory');
  const status = readDirectory(fresh, (name) => names.push(name));
  close(fresh);
  check(status, 'read a directory');
  return names;
}

const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
const CHUNK = 1 << 20;

/** A copy of a tree, with owners, modes, times, attributes and hard links, into an empty directory. */
class TreeCopy {
  readonly #root: number;
  readonly #warnings = new Warnings();
  /** For files of several names, the path of the copy. */
  readonly #links = new Map<string, ByteString>();

  constructor(root: number) {
    this.#root = root;
  }

  copy(from: number, to = this.#root, path: ByteString = ''): void {
    for (const name of namesOf(from)) this.#copyEntry(from, to, name, path === '' ? name : `${path}/${name}`);
    const own = describeFile(from, SELF, REAL_OWNERS, path, this.#warnings);
    applyMetadata({ dirfd: to, name: SELF, isSymlink: false }, own, this.#warnings);
  }

  #copyEntry(from: number, to: number, name: ByteString, path: ByteString): void {
    const file = describeFile(from, name, REAL_OWNERS, path, this.#warnings);
    if (file.type === 'directory') {
      check(mkdirat(to, name, 0o700), `make ${toText(path)}`);
      const [source, copy] = [openDirectory(from, name), openDirectory(to, name)];
      this.copy(check(source, `open ${toText(path)}`), check(copy, `open ${toText(path)}`), path);
      close(source);
      close(copy);
      return;
    }
    const first = file.linkKey === undefined ? undefined : this.#links.get(file.linkKey);
    if (first !== undefined) {
      check(linkat(this.#root, first, to, name), `link ${toText(path)}`);
      return;
    }
    if (file.linkKey !== undefined) this.#links.set(file.linkKey, path);
    if (file.type === 'file') this.#copyRegular(from, to, name, file);
    else if (this.#makeSpecial(to, name, file)) {
      applyMetadata({ dirfd: to, name, isSymlink: file.type === 'symlink' }, file, this.#warnings);
    }
  }

  #copyRegular(from: number, to: number, name: ByteString, file: FileDescription): void {
    const source = check(openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), `open ${toText(name)}`);
    const copy = openat(to, name, CREATE, 0o600);
    try {
      const writer = new FileWriter(check(copy, `make ${toText(name)}`));
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, Math.max(1, file.size)));
      for (let length = readSync(source, buffer); length > 0; length = readSync(source, buffer)) {
        writer.write(buffer.subarray(0, length));
      }
      writer.finish();
      applyMetadata({ dirfd: copy, name: SELF, isSymlink: false }, file, this.#warnings);
    } finally {
      close(source);
      if (copy >= 0) close(copy);
    }
  }

  /** False for what is left out: a socket, and a device that may not be made. */
  #makeSpecial(to: number, name: ByteString, { type, target, major, minor }: FileDescription): boolean {
    if (type === undefined) return false;
    if (type === 'symlink') return check(symlinkat(target, to, name), `make ${toText(name)}`) === 0;
    if (type === 'fifo') return check(mknodat(to, name, S_IFIFO | 0o600, 0), `make ${toText(name)}`) === 0;
    const mode = (type === 'character-device' ? S_IFCHR : S_IFBLK) | 0o600;
    const status = mknodat(to, name, mode, encodeDevice(major, minor));
    if (status !== -EPERM) check(status, `make ${toText(name)}`);
    return status === 0;
  }
}
