import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { toBytes } from '../../../fs/sys/bytes.ts';
import { AT_FDCWD, AT_SYMLINK_FOLLOW, O_TMPFILE, O_WRONLY } from '../../../fs/sys/constants.ts';
import { check, EEXIST } from '../../../fs/sys/errno.ts';
import { linkat } from '../../../fs/sys/file.ts';
import { type ByteSource } from '../compression.ts';
import { syncDirectory, syncFilesystem } from '../durable-file.ts';
import { removeIn } from '../scratch.ts';
import { asideName, isAt, makeAside, markAside, sweepAsides } from './aside.ts';
import { type ArchiveFiles } from './files.ts';

/** Writes all of `source` to the file at a path, whole or not at all, or to the open file of a number. */
export async function writeOutput(output: string | number, source: ByteSource): Promise<void> {
  if (typeof output === 'number') await writeStream(output, source);
  else await writeFileWhole(output, source);
}

/** Writes all of `source` to an open file. */
async function writeStream(fd: number, source: ByteSource): Promise<void> {
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      const written = tryWrite(fd, chunk.subarray(at));
      if (written === 0) await sleep(FULL_PIPE_MILLISECONDS);
      at += written;
    }
  }
}

const FULL_PIPE_MILLISECONDS = 5;

/** 0 where another process has made a pipe non-blocking, and it is full. */
function tryWrite(fd: number, chunk: Uint8Array): number {
  try {
    return writeSync(fd, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    return 0;
  }
}

/**
 * Makes the file at `path`, or replaces it: whole, or not at all, however the process ends. What is no regular file,
 * such as a pipe, is written to.
 */
async function writeFileWhole(path: string, source: ByteSource): Promise<void> {
  const target = existsSync(path) ? realpathSync(path) : resolve(path);
  const status = statSync(target, { throwIfNoEntry: false });
  if (status?.isDirectory() === true) throw new Error('it is a directory, where a file is to be written');
  if (status !== undefined && !status.isFile()) {
    await writeSpecial(target, source);
    return;
  }
  sweepAsides(dirname(target));
  const draft = Draft.open(dirname(target));
  try {
    await writeStream(draft.fd, source);
    draft.publish(target);
  } finally {
    draft.close();
  }
}

async function writeSpecial(path: string, source: ByteSource): Promise<void> {
  const fd = openSync(path, 'w');
  try {
    await writeStream(fd, source);
  } finally {
    closeSync(fd);
  }
}

/** A file that is being written: without a name where the filesystem can do that, so that nothing is left of it. */
class Draft {
  readonly fd: number;
  #aside: string | undefined;

  private constructor(fd: number, aside: string | undefined) {
    this.fd = fd;
    this.#aside = aside;
  }

  static open(directory: string): Draft {
    try {
      const fd = openSync(directory, O_TMPFILE | O_WRONLY, 0o666);
      // For the moment in which it has a name that is not yet its own.
      markAside(fd);
      return new Draft(fd, undefined);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // NFS and old filesystems; EISDIR: what a kernel answers that does not know the flag.
      if (code !== 'EOPNOTSUPP' && code !== 'ENOTSUP' && code !== 'EISDIR' && code !== 'EINVAL') throw error;
      return Draft.#openNamed(directory);
    }
  }

  static #openNamed(directory: string): Draft {
    for (;;) {
      const aside = join(directory, asideName());
      const fd = openSync(aside, 'wx', 0o666);
      if (markAside(fd) && isAt(fd, aside)) return new Draft(fd, aside);
      closeSync(fd);
    }
  }

  /** Gives it its name, once all of it is on disk. */
  publish(target: string): void {
    fsyncSync(this.fd);
    if (this.#aside === undefined && this.#link(target)) return;
    const aside = this.#aside ?? join(dirname(target), asideName());
    if (this.#aside === undefined && !this.#link(aside)) throw new Error(`${aside} is there already`);
    this.#aside = aside;
    renameSync(aside, target);
    this.#aside = undefined;
    syncDirectory(dirname(target));
  }

  /** False where there is a file of that name. */
  #link(path: string): boolean {
    const status = linkat(AT_FDCWD, `/proc/self/fd/${this.fd}`, AT_FDCWD, toBytes(path), AT_SYMLINK_FOLLOW);
    if (status === -EEXIST) return false;
    check(status, `link ${path}`);
    syncDirectory(dirname(path));
    return true;
  }

  close(): void {
    closeSync(this.fd);
    if (this.#aside !== undefined) unlinkSync(this.#aside);
  }
}

/** Makes the directory at `path` with these files in it: whole, or not at all. One that is there must be empty. */
export async function writeDirectoryWhole(path: string, files: ArchiveFiles): Promise<void> {
  const target = existsSync(path) ? realpathSync(path) : resolve(path);
  if (existsSync(target) && (!statSync(target).isDirectory() || readdirSync(target).length > 0)) {
    throw new Error('it is there already, and is no empty directory');
  }
  sweepAsides(dirname(target));
  const { name, fd } = makeAside(dirname(target));
  const aside = join(dirname(target), name);
  try {
    await fillDirectory(aside, files);
    syncFilesystem(aside);
    renameSync(aside, target);
  } catch (error) {
    removeIn(dirname(target), name);
    throw error;
  } finally {
    closeSync(fd);
  }
  syncDirectory(dirname(target));
}

async function fillDirectory(directory: string, files: ArchiveFiles): Promise<void> {
  for await (const { name, content } of files) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    const fd = openSync(join(dirname(path), basename(path)), 'wx', 0o666);
    try {
      await writeStream(fd, content);
    } finally {
      closeSync(fd);
    }
  }
}
