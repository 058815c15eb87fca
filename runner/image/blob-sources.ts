import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { type Compression } from './compression.ts';
import { type Digest, hexOf, isDigest, parseDigest } from './digest.ts';
import { asArray, asObject, asSize, asString, optionalObject, parseJson } from './json.ts';
import { type Scratch } from './scratch.ts';
import { removeFile } from './remove-file.ts';

/** Repositories that are kept for a blob, the latest first. */
const MOST = 16;

/** A blob by its digest and size. */
export interface BlobName {
  readonly digest: Digest;
  readonly size: number;
}

interface BlobRecord {
  /** `registry/path`, the latest first. */
  readonly repositories: readonly string[];
  /** What the blob, where it is plain, is when it is compressed. */
  readonly packed: Readonly<Partial<Record<Compression, BlobName>>>;
}

const NOTHING: BlobRecord = { repositories: [], packed: {} };

/**
 * Where blobs have come from and gone to, a file a blob. All of it is a hint, to be tried: what is lost, or no longer
 * true, costs a request or a compression and nothing else.
 */
export class BlobSources {
  readonly #directory: string;

  constructor(root: string) {
    this.#directory = join(root, 'sources');
  }

  prepare(): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  /** Repositories that have, or had, the blob, the latest first. */
  repositories(digest: Digest): readonly string[] {
    return this.#read(digest).repositories;
  }

  /** Notes that a repository has the blob. */
  add(digest: Digest, repository: string, scratch: Scratch): void {
    const { repositories, packed } = this.#read(digest);
    if (repositories[0] === repository) return;
    const others = repositories.filter((known) => known !== repository);
    this.#write(digest, { repositories: [repository, ...others].slice(0, MOST), packed }, scratch);
  }

  /** What the blob was when it was compressed before. */
  packed(digest: Digest, compression: Compression): BlobName | undefined {
    return this.#read(digest).packed[compression];
  }

  setPacked(digest: Digest, compression: Compression, name: BlobName, scratch: Scratch): void {
    const { repositories, packed } = this.#read(digest);
    this.#write(digest, { repositories, packed: { ...packed, [compression]: name } }, scratch);
  }

  /** Forgets all blobs but `kept`. */
  collect(kept: ReadonlySet<Digest>): void {
    for (const name of readdirSync(this.#directory)) {
      const digest = `sha256:${name}`;
      if (isDigest(digest) && !kept.has(digest)) removeFile(join(this.#directory, name));
    }
  }

  #read(digest: Digest): BlobRecord {
    const path = join(this.#directory, hexOf(digest));
    try {
      return parseRecord(readFileSync(path), path);
    } catch {
      // Not there, or damaged: as good as nothing.
      return NOTHING;
    }
  }

  // Not durably: see above. By a rename, so that two processes at once leave one of two records.
  #write(digest: Digest, record: BlobRecord, scratch: Scratch): void {
    const aside = scratch.next();
    writeFileSync(aside, JSON.stringify(record), { mode: 0o600 });
    renameSync(aside, join(this.#directory, hexOf(digest)));
  }
}

function parseRecord(bytes: Buffer, where: string): BlobRecord {
  const record = asObject(parseJson(bytes, where), where);
  const packed = Object.entries(optionalObject(record['packed'], where)).map(([compression, value]) => {
    const { digest, size } = asObject(value, where);
    return [compression, { digest: parseDigest(asString(digest, where), where), size: asSize(size, where) }];
  });
  return {
    repositories: asArray(record['repositories'], where).map((item) => asString(item, where)),
    packed: Object.fromEntries(packed) as BlobRecord['packed'],
  };
}
