import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY, RENAME_EXCHANGE } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat, renameat2 } from '../../fs/sys/file.ts';
import { pathIn } from '../../fs/sys/path-in.ts';
import { type Digest, hexOf, isDigest } from './digest.ts';
import { syncDirectory, syncFilesystem, writeDurably } from './durable-file.ts';
import { asObject, asSize, type JsonObject, parseJson } from './json.ts';
import { type Scratch } from './scratch.ts';
import { isOpaque } from '../../fs/layer-format.ts';
import { INDEX_SUFFIX } from '../../fs/layer-index/suffix.ts';
import { removeFile } from './remove-file.ts';

const RECORD_SUFFIX = '.json';
/** Of what is beside a layer. */
const SUFFIXES = new RegExp(`\\${RECORD_SUFFIX}$|\\${INDEX_SUFFIX}$`);

/** What is kept of a layer beside it. */
interface LayerRecord {
  /** Bytes of its files. */
  readonly size: number;
  /** Digest of the archive that it was unpacked from. */
  readonly blob: Digest;
  /** Bytes of that archive, uncompressed. */
  readonly archiveSize: number;
}

/** A layer that has gone. */
export interface CollectedLayer {
  readonly chainId: Digest;
  /** Bytes of its files, and of what was beside them. */
  readonly size: number;
}

/**
 * Unpacked layers by chainID: `layers/HEX` is the layer's root directory, `layers/HEX.json` what is known of it, and
 * `layers/HEX.lamina-index`, where there is one, what unions read of it. A layer comes by a rename when it is whole and on
 * disk; what a directory of that name holds never changes.
 */
export class LayerDirectory {
  readonly #directory: string;

  constructor(root: string) {
    this.#directory = join(root, 'layers');
  }

  prepare(): void {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  path(chainId: Digest): string {
    return pathIn(this.#directory, hexOf(chainId));
  }

  has(chainId: Digest): boolean {
    return existsSync(this.path(chainId));
  }

  /**
   * Makes the tree at `path` the layer `chainId`, unless another process was first. One call to the filesystem makes tree
   * and record lasting before the tree has its name; the name itself lasts once whoever enters the image has had the
   * filesystem written to disk: until then nothing refers to the layer.
   *
   * @returns whether this process was the first.
   */
  adopt(path: string, chainId: Digest, record: LayerRecord, scratch: Scratch): boolean {
    const target = this.path(chainId);
    const aside = scratch.next();
    writeFileSync(aside, JSON.stringify(record), { mode: 0o600, flag: 'wx' });
    renameSync(aside, target + RECORD_SUFFIX);
    syncFilesystem(path);
    try {
      renameSync(path, target);
      return true;
    } catch (error) {
      if (!this.has(chainId)) throw error;
      return false;
    }
  }

  /** Makes the tree at `path` the layer `chainId` in the place of the one that is there, which is then at `path`. */
  replace(path: string, chainId: Digest, record: LayerRecord, scratch: Scratch): true {
    const target = this.path(chainId);
    this.removeIndex(chainId);
    writeDurably(target + RECORD_SUFFIX, JSON.stringify(record), scratch.next());
    syncFilesystem(path);
    const status = renameat2(-1, toBytes(path), -1, toBytes(target), RENAME_EXCHANGE);
    check(status, `put another layer in the place of ${target}`);
    syncDirectory(this.#directory);
    return true;
  }

  /** Where the index of a layer is, or would be. */
  indexPath(chainId: Digest): string {
    return this.path(chainId) + INDEX_SUFFIX;
  }

  /** Bytes of the layer's index; 0 where there is none. */
  indexSize(chainId: Digest): number {
    return statSync(this.indexPath(chainId), { throwIfNoEntry: false })?.size ?? 0;
  }

  removeIndex(chainId: Digest): void {
    removeFile(this.indexPath(chainId));
  }

  /** Whether there is a record beside the layer. */
  hasRecord(chainId: Digest): boolean {
    return existsSync(this.path(chainId) + RECORD_SUFFIX);
  }

  /** Bytes of the layer's files; 0 where the record is lost. */
  size(chainId: Digest): number {
    const { record, where } = this.#record(chainId);
    return record === undefined ? 0 : asSize(record['size'], `${where}: size`);
  }

  /** Bytes of the layer's archive, uncompressed; undefined where that was not kept. */
  archiveSize(chainId: Digest): number | undefined {
    const { record, where } = this.#record(chainId);
    const size = record?.['archiveSize'];
    return size === undefined ? undefined : asSize(size, `${where}: archiveSize`);
  }

  /** Whether the layer is there and was unpacked from this very archive, so that neither needs another look. */
  isOf(chainId: Digest, blob: Digest): boolean {
    return this.has(chainId) && this.#record(chainId).record?.['blob'] === blob;
  }

  #record(chainId: Digest): { readonly record: JsonObject | undefined; readonly where: string } {
    const where = this.path(chainId) + RECORD_SUFFIX;
    return { where, record: existsSync(where) ? asObject(parseJson(readFileSync(where), where), where) : undefined };
  }

  /**
   * Paths for a union, the topmost first. A layer whose root is opaque hides all below it, which no union looks for at
   * its root: so the list ends there.
   *
   * @param chainIds the bottom one first.
   */
  stack(chainIds: readonly Digest[]): string[] {
    const paths: string[] = [];
    for (const chainId of chainIds.toReversed()) {
      paths.push(this.path(chainId));
      if (hasOpaqueRoot(this.path(chainId))) break;
    }
    return paths;
  }

  /** All layers that are there. */
  chainIds(): Digest[] {
    return this.#entries().filter((name): name is Digest => isDigest(name));
  }

  /** Names as digests; those of what is beside a layer have its suffix. Sorted, so that they come after the layer. */
  #entries(): string[] {
    return readdirSync(this.#directory)
      .map((name) => `sha256:${name}`)
      .sort();
  }

  /**
   * Takes all layers but `kept` away, to `scratch`, where they are to be removed: a layer goes as it comes, whole by a
   * rename, so that what a killed process leaves here is never half a layer. A record or an index without a layer is of
   * no consequence, a layer without a record would be: so these go last.
   */
  collect(kept: ReadonlySet<Digest>, scratch: Scratch): CollectedLayer[] {
    const going = this.#entries().filter((name) => {
      const chainId = name.replace(SUFFIXES, '');
      return isDigest(chainId) && !kept.has(chainId);
    });
    const collected = going.filter((name): name is Digest => isDigest(name));
    const sized = collected.map((chainId) => ({
      chainId,
      size: this.size(chainId) + this.indexSize(chainId),
    }));
    for (const name of going) renameSync(join(this.#directory, name.slice('sha256:'.length)), scratch.next());
    // Before anything in them goes: a power cut must not undo the rename alone.
    if (going.length > 0) syncDirectory(this.#directory);
    return sized;
  }
}

function hasOpaqueRoot(path: string): boolean {
  const fd = check(openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open layer ${path}`);
  try {
    return isOpaque(fd);
  } finally {
    close(fd);
  }
}
