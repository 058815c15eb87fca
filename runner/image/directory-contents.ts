import { createHash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';

import { Attr } from '../../fs/sys/attr.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import {
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_RDONLY,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  S_IFMT,
  S_IFREG,
} from '../../fs/sys/constants.ts';
import { check, ENOENT, ENOTDIR } from '../../fs/sys/errno.ts';
import { close, fstat, openat, openat2 } from '../../fs/sys/file.ts';
import { type ArchiveContents } from './contents.ts';
import { finishDigest } from './digest.ts';
import { Documents } from './documents.ts';
import { type Limits, overLimit } from './limits.ts';
import { Retained } from './retained.ts';
import { type Scratch } from './scratch.ts';
import { type SpooledFile } from './spool.ts';

const PIECE = 1 << 18;
const attr = new Attr();

/**
 * The files of a directory that holds images. Each is copied when it is first asked for, since the store must own what
 * it keeps; no link in there leads out of the directory.
 */
export class DirectoryContents implements ArchiveContents {
  readonly #path: string;
  readonly #root: number;
  readonly #scratch: Scratch;
  readonly #limits: Limits;
  readonly #copies = new Map<string, SpooledFile>();
  readonly #documents: Documents;
  readonly #retained: Retained;
  #copied = 0;

  constructor(path: string, scratch: Scratch, limits: Limits) {
    this.#path = path;
    this.#scratch = scratch;
    this.#limits = limits;
    this.#retained = new Retained(limits, 'what must be remembered of the directory');
    this.#documents = new Documents(this.#retained);
    this.#root = check(openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open directory ${path}`);
  }

  readonly complete = true;

  get isEmpty(): boolean {
    return readdirSync(this.#path).length === 0;
  }

  find(name: string): SpooledFile | undefined {
    const known = this.#copies.get(name);
    if (known !== undefined) return known;
    const flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
    const fd = openat2(this.#root, toBytes(name), flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (fd === -ENOENT || fd === -ENOTDIR) return undefined;
    check(fd, `open ${JSON.stringify(name)} of the directory`);
    try {
      const copy = this.#copy(fd, name);
      this.#copies.set(name, copy);
      return copy;
    } finally {
      close(fd);
    }
  }

  #copy(from: number, name: string): SpooledFile {
    check(fstat(from, attr), `look at ${JSON.stringify(name)}`);
    if ((attr.mode & S_IFMT) !== S_IFREG) throw new Error(`${JSON.stringify(name)} is no regular file`);
    const path = this.#scratch.next();
    const to = openSync(path, 'wx', 0o600);
    try {
      return { path, ...this.#copyBytes(from, to) };
    } finally {
      closeSync(to);
    }
  }

  #copyBytes(from: number, to: number): Pick<SpooledFile, 'size' | 'digest'> {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(PIECE);
    let size = 0;
    for (let length = readSync(from, buffer); length > 0; length = readSync(from, buffer)) {
      size += length;
      this.#copied += length;
      if (this.#copied > this.#limits.archiveBytes) {
        throw overLimit("the size of the directory's files", this.#limits, 'archive-size');
      }
      hash.update(buffer.subarray(0, length));
      for (let at = 0; at < length;) at += writeSync(to, buffer, at, length - at);
    }
    return { size, digest: finishDigest(hash) };
  }

  require(name: string, what: string): SpooledFile {
    const file = this.find(name);
    if (file === undefined) throw new Error(`${what} ${JSON.stringify(name)} is not in the directory`);
    return file;
  }

  readDocument(file: SpooledFile): Buffer {
    return this.#documents.read(file.path);
  }

  sample(): string {
    return readdirSync(this.#path).slice(0, 3).join(', ');
  }

  close(): void {
    close(this.#root);
  }
}
