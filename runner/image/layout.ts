import { createHash } from 'node:crypto';
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';

import { type Digest, digestOf, finishDigest, hexOf, isDigest } from './digest.ts';
import { writeDurably } from './durable-file.ts';
import { asArray, asObject, type JsonObject, parseJson } from './json.ts';
import { DOCUMENT_BYTES } from './limits.ts';
import { type Descriptor, MEDIA_TYPE, parseDescriptor } from './manifest.ts';
import { type Scratch, removeIn } from './scratch.ts';
import { LAYOUT_FILE } from './store-root.ts';

/** What one entry of the index says, and the entry itself, with members that only others know. */
export interface IndexEntry {
  readonly descriptor: Descriptor;
  readonly json: JsonObject;
}

/** The OCI image layout that the store is: blobs by digest, and an index of manifests. */
export class ImageLayout {
  readonly #root: string;
  readonly #blobs: string;

  constructor(root: string) {
    this.#root = root;
    this.#blobs = join(root, 'blobs/sha256');
  }

  /** Makes an empty layout where there is none. The index comes first: what has `oci-layout` is complete. */
  prepare(scratch: () => Scratch): void {
    mkdirSync(this.#blobs, { recursive: true, mode: 0o700 });
    if (existsSync(join(this.#root, LAYOUT_FILE))) return;
    const aside = scratch();
    try {
      if (!existsSync(this.#index)) this.writeIndex([], aside);
      writeDurably(join(this.#root, LAYOUT_FILE), '{"imageLayoutVersion":"1.0.0"}', aside.next());
    } finally {
      aside.remove();
    }
  }

  get #index(): string {
    return join(this.#root, 'index.json');
  }

  readIndex(): IndexEntry[] {
    const where = this.#index;
    const index = asObject(parseJson(readFileSync(where), where), where);
    return asArray(index['manifests'], `${where}: manifests`).map((item, at) => {
      const place = `${where}: manifests[${at}]`;
      return { descriptor: parseDescriptor(item, place), json: asObject(item, place) };
    });
  }

  /** The caller holds the store's lock, and has read the index under it. */
  writeIndex(entries: readonly JsonObject[], scratch: Scratch): void {
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests: entries };
    writeDurably(this.#index, JSON.stringify(index), scratch.next());
  }

  /** Where the blob is, or would be. */
  path(digest: Digest): string {
    return join(this.#blobs, hexOf(digest));
  }

  has(digest: Digest): boolean {
    return existsSync(this.path(digest));
  }

  /** A manifest or configuration, checked against its digest: the store's files are no better than their disk. */
  readDocument(digest: Digest): Buffer {
    const bytes = readWithin(this.path(digest), DOCUMENT_BYTES);
    if (digestOf(bytes) !== digest) throw new Error(`blob ${digest} of the store is damaged`);
    return bytes;
  }

  /**
   * Makes the file at `path` the blob `digest`; the caller has checked that it is. One that is there already is
   * replaced: the same content, or a damaged one.
   */
  adopt(path: string, digest: Digest): void {
    if (existsSync(path)) renameSync(path, this.path(digest));
  }

  put(bytes: Uint8Array, scratch: Scratch): Digest {
    const digest = finishDigest(createHash('sha256').update(bytes));
    writeDurably(this.path(digest), bytes, scratch.next());
    return digest;
  }

  /** Removes all blobs but `kept`. */
  collect(kept: ReadonlySet<Digest>): void {
    for (const name of readdirSync(this.#blobs)) {
      const digest = `sha256:${name}`;
      if (isDigest(digest) && !kept.has(digest)) removeIn(this.#blobs, name);
    }
  }
}

/** All of a file that is no longer than `limit`. */
export function readWithin(path: string, limit: number): Buffer {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    if (size > limit) throw new Error(`${path} has ${size} bytes, over the limit of ${limit}`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
