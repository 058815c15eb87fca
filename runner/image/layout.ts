import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';

import { type Digest, digestOf, finishDigest, hexOf, isDigest } from './digest.ts';
import { syncFile, writeDurably } from './durable-file.ts';
import { asArray, asObject, type JsonObject, parseJson } from './json.ts';
import { DOCUMENT_BYTES } from './limits.ts';
import { type Descriptor, MEDIA_TYPE, parseDescriptor } from './manifest.ts';
import { type Scratch, removeIn } from './scratch.ts';
import { LAYOUT_FILE } from './store-root.ts';

/** Content never changes under its digest. */
const BLOB_MODE = 0o400;
/** Milliseconds that another program may take for a copy into the store. */
const FOREIGN_GRACE = 24 * 3_600_000;

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
    if (path === this.path(digest) || !existsSync(path)) return;
    chmodSync(path, BLOB_MODE);
    // The file alone: the whole filesystem may have much to write that is not ours.
    syncFile(path);
    renameSync(path, this.path(digest));
  }

  put(bytes: Uint8Array, scratch: Scratch): Digest {
    const digest = finishDigest(createHash('sha256').update(bytes));
    writeDurably(this.path(digest), bytes, scratch.next(), BLOB_MODE);
    return digest;
  }

  /** All blobs that are there. */
  digests(): Digest[] {
    return readdirSync(this.#blobs)
      .map((name) => `sha256:${name}`)
      .filter(isDigest);
  }

  /** Bytes of a blob's file; undefined where it is not there. */
  sizeOf(digest: Digest): number | undefined {
    return statSync(this.path(digest), { throwIfNoEntry: false })?.size;
  }

  /** Removes a blob for which there is no use. */
  remove(digest: Digest): void {
    removeIn(this.#blobs, hexOf(digest));
  }

  /**
   * Whether a blob that nothing refers to may be what another program is just putting there: skopeo and umoci write
   * blobs first and the index last, and know nothing of our locks. Ours alone are read-only.
   */
  mayBeComing(digest: Digest): boolean {
    const status = statSync(this.path(digest), { throwIfNoEntry: false });
    if (status === undefined || (status.mode & 0o222) === 0) return false;
    return Date.now() - status.ctimeMs < FOREIGN_GRACE;
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
