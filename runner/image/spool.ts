import { createHash } from 'node:crypto';
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';

import { type ByteString, toBytes, toText } from '../../fs/sys/bytes.ts';
import { type ByteSource } from './compression.ts';
import { type ArchiveContents } from './contents.ts';
import { type Digest, finishDigest } from './digest.ts';
import { parseEntryPath } from './entry-path.ts';
import { Documents } from './documents.ts';
import { type Limits, overLimit } from './limits.ts';
import { Retained } from './retained.ts';
import { type Scratch } from './scratch.ts';
import { entryError, readTar, type TarEntry } from './tar.ts';

/** A file of an image archive, on disk under a name of ours, its digest known. */
export interface SpooledFile {
  readonly path: string;
  readonly size: number;
  readonly digest: Digest;
}

/** Writes `source` to a new file, and tells what was written. */
export async function spoolFile(path: string, source: ByteSource): Promise<SpooledFile> {
  const hash = createHash('sha256');
  const fd = openSync(path, 'wx', 0o600);
  let size = 0;
  try {
    for await (const chunk of source) {
      hash.update(chunk);
      size += chunk.length;
      for (let at = 0; at < chunk.length;) at += writeSync(fd, chunk, at);
    }
  } finally {
    closeSync(fd);
  }
  return { path, size, digest: finishDigest(hash) };
}

/** Links of links are followed this far. */
const LINK_HOPS = 16;

/** Bytes that a member takes in memory, about, beside its name. */
const MEMBER = 256;

type Member = SpooledFile | { readonly linkTo: ByteString };

/**
 * The files of an image archive. They are written to disk in one pass: the archive may come from a pipe, be compressed
 * as a whole, be larger than memory, and have its manifest last. No name in it becomes a path on disk.
 */
export class Spool implements ArchiveContents {
  readonly #members = new Map<ByteString, Member>();
  readonly #scratch: Scratch;
  readonly #limits: Limits;
  readonly #retained: Retained;
  readonly #documents: Documents;
  /** Bytes written, those of files that a later one replaced included. */
  #spooled = 0;

  constructor(scratch: Scratch, limits: Limits) {
    this.#scratch = scratch;
    this.#limits = limits;
    this.#retained = new Retained(limits, 'what must be remembered of the archive');
    this.#documents = new Documents(this.#retained);
  }

  /** Whether the archive ended as it should; if not, what is missing may have been cut off. */
  complete = true;

  async fill(archive: ByteSource): Promise<void> {
    this.complete = await readTar(archive, this.#limits, async (entry) => {
      try {
        await this.#add(entry);
      } catch (error) {
        throw entryError(entry.name, error);
      }
    });
  }

  async #add(entry: TarEntry): Promise<void> {
    if (entry.isSparse) throw new Error('it is a sparse file, which no image archive has');
    const name = parseEntryPath(entry.name, this.#limits).join('/');
    const before = this.#members.get(name);
    const member = await this.#memberOf(entry, name);
    if (member === undefined) return;
    // Of two files of one name, one reader takes the first, another the last.
    if (before !== undefined && !isSame(before, member))
      throw new Error('it is in the archive twice, with different contents');
    if (before !== undefined && 'path' in before) unlinkSync(before.path);
    this.#retained.add(MEMBER + name.length + ('path' in member ? 0 : member.linkTo.length));
    this.#members.set(name, member);
  }

  async #memberOf(entry: TarEntry, name: ByteString): Promise<Member | undefined> {
    if (entry.type === 'file') return spoolFile(this.#scratch.next(), this.#capped(entry.data));
    if (entry.type === 'link') return { linkTo: entry.linkname };
    if (entry.type === 'symlink') return { linkTo: relativeTo(name, entry.linkname) };
    return undefined;
  }

  async *#capped(data: ByteSource): AsyncGenerator<Uint8Array> {
    for await (const chunk of data) {
      this.#spooled += chunk.length;
      if (this.#spooled > this.#limits.archiveBytes) {
        throw overLimit("the size of the archive's files", this.#limits, 'archive-size');
      }
      yield chunk;
    }
  }

  /** The file of that name in the archive, over links within the archive. */
  find(text: string): SpooledFile | undefined {
    let name = normal(toBytes(text));
    for (let hops = 0; hops < LINK_HOPS; hops++) {
      const member = this.#members.get(name);
      if (member === undefined || 'path' in member) return member;
      name = normal(member.linkTo);
    }
    return undefined;
  }

  /** The file of that name, or an error that says what it is for. */
  require(name: string, what: string): SpooledFile {
    const file = this.find(name);
    if (file !== undefined) return file;
    const why = this.complete ? 'is not in the archive' : 'is missing: the archive is truncated';
    throw new Error(`${what} ${JSON.stringify(name)} ${why}`);
  }

  /** Content of a manifest, index or configuration, read once: thousands of entries may refer to the same. */
  readDocument(file: SpooledFile): Buffer {
    return this.#documents.read(file.path);
  }

  get isEmpty(): boolean {
    return this.#members.size === 0;
  }

  /** A few names, for a message about an archive that is not of a known kind. */
  sample(): string {
    return [...this.#members.keys()].slice(0, 3).map(toText).join(', ');
  }
}

function isSame(one: Member, other: Member): boolean {
  if ('path' in one) return 'path' in other && one.digest === other.digest;
  return !('path' in other) && one.linkTo === other.linkTo;
}

function relativeTo(name: ByteString, target: ByteString): ByteString {
  return target.startsWith('/') ? target : `${name.slice(0, name.lastIndexOf('/') + 1)}${target}`;
}

// In an archive there are only names, so `..` is resolved by them alone; above the root there is nothing.
function normal(name: ByteString): ByteString {
  const path: ByteString[] = [];
  for (const component of name.split('/')) {
    if (component === '..') path.pop();
    else if (component !== '' && component !== '.') path.push(component);
  }
  return path.join('/');
}
