import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

import { Memory } from '../../fs/sys/memory.ts';
import { getxattr, listxattr } from '../../fs/sys/xattr.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { DEFAULT_LIMITS, type Limits } from '../../runner/image/limits.ts';
import { loadArchive, type LoadedImage, type LoadOptions } from '../../runner/image/load.ts';
import { hostPlatform, parsePlatform } from '../../runner/image/platform.ts';
import { removeIn } from '../../runner/image/scratch.ts';
import { openStore, type Store } from '../../runner/image/store.ts';
import { unpackLayer } from '../../runner/image/unpack.ts';
import { Warnings } from '../../runner/image/warnings.ts';

/** Standard output of a program; throws where it fails. */
export function run(...command: readonly [string, ...string[]]): string {
  const [file, ...parameters] = command;
  const done = spawnSync(file, parameters, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (done.status !== 0) throw new Error(`${command.join(' ')} failed: ${done.stderr}`);
  return done.stdout;
}

/** A directory of its own for one test, gone after it. */
export function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), 'lamina-image-'));
  onTestFinished(() => removeIn(tmpdir(), path.slice(tmpdir().length + 1)));
  return path;
}

export function newStore(): Store {
  return openStore(join(temporary(), 'store'));
}

/** The bytes in pieces of an odd length, as a pipe gives them. */
export async function* inPieces(bytes: Buffer, length = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield await Promise.resolve(bytes.subarray(at, at + length));
}

function loadOptions(): LoadOptions {
  return { platform: parsePlatform('linux/amd64'), limits: DEFAULT_LIMITS, warnings: new Warnings() };
}

export function load(store: Store, archive: Buffer, options: Partial<LoadOptions> = {}): Promise<LoadedImage[]> {
  return loadArchive(store, inPieces(archive, 60_000), { ...loadOptions(), ...options });
}

/** Loads an archive that another program wrote, on this machine and for it. */
export function loadFile(store: Store, path: string): Promise<LoadedImage[]> {
  return loadArchive(store, createReadStream(path), { ...loadOptions(), platform: hostPlatform() });
}

/** Where a hostile archive is unpacked: a target, and files beside it that must stay as they are. */
export class Target {
  readonly base = temporary();
  readonly path = join(this.base, 'target');
  readonly warnings = new Warnings();
  readonly #outside: string[];

  constructor() {
    mkdirSync(this.path);
    mkdirSync(join(this.base, 'outside'));
    writeFileSync(join(this.base, 'outside/canary'), 'untouched');
    writeFileSync(join(this.base, 'canary'), 'untouched');
    this.#outside = this.outside();
  }

  /** All beside the target. */
  outside(): string[] {
    return snapshot(this.base).filter((line) => !/^(target|\.)[ /]/.test(line));
  }

  /** What a test expects of `outside`. */
  get untouched(): readonly string[] {
    return this.#outside;
  }

  async unpack(
    archive: Buffer,
    lowers: readonly string[] = [],
    limits: Partial<Limits> = {},
    piece?: number,
  ): Promise<void> {
    const directory = openat(-1, this.path, O_RDONLY | O_DIRECTORY);
    try {
      const options = { directory, lowers, limits: { ...DEFAULT_LIMITS, ...limits }, warnings: this.warnings };
      await unpackLayer(inPieces(archive, piece), options);
    } finally {
      close(directory);
    }
  }
}

/** Unpacks layers one on the other, the bottom one first; answers their directories. */
export async function unpackStack(...archives: readonly Buffer[]): Promise<string[]> {
  const paths: string[] = [];
  for (const archive of archives) {
    const target = new Target();
    await target.unpack(archive, paths.toReversed());
    paths.push(target.path);
  }
  return paths;
}

const buffer = new Memory(65536);

function xattrsOf(path: string): string[] {
  const directory = openat(-1, path.slice(0, path.lastIndexOf('/')) || '/', O_RDONLY | O_DIRECTORY);
  const name = path.slice(path.lastIndexOf('/') + 1);
  try {
    const length = listxattr(directory, name, buffer.address, buffer.size);
    const names = length <= 0 ? [] : buffer.bytes.toString('latin1', 0, length - 1).split('\0');
    return names.sort().map((xattr) => {
      const size = getxattr(directory, name, xattr, buffer.address, buffer.size);
      return `${xattr}=${buffer.bytes.toString('hex', 0, size)}`;
    });
  } finally {
    close(directory);
  }
}

/** Every file of a tree in one line each, by relative path; names one character a byte. Sorted. */
export function snapshot(root: string, withTimes = true): string[] {
  const lines: string[] = [];
  const links = new Map<bigint, string>();
  const walk = (relative: string): void => {
    const path = relative === '' ? root : `${root}/${relative}`;
    const status = lstatSync(Buffer.from(path, 'latin1'), { bigint: true });
    const parts = [relative || '.', status.mode.toString(8), `${status.uid}:${status.gid}`];
    if (withTimes) parts.push(String(status.mtimeNs));
    if (status.isFile()) {
      const content = readFileSync(Buffer.from(path, 'latin1'));
      parts.push(String(status.size), createHash('sha256').update(content).digest('hex'));
    }
    if (status.isSymbolicLink()) parts.push(`-> ${readlinkSync(Buffer.from(path, 'latin1'), 'latin1')}`);
    if (status.isCharacterDevice() || status.isBlockDevice()) parts.push(`device ${status.rdev}`);
    if (!status.isDirectory() && status.nlink > 1n) {
      const first = links.get(status.ino) ?? relative;
      links.set(status.ino, first);
      parts.push(`links ${status.nlink} with ${first}`);
    }
    lines.push([...parts, ...xattrsOf(path)].join(' '));
    if (!status.isDirectory()) return;
    const names = readdirSync(Buffer.from(path, 'latin1'), 'latin1');
    for (const name of names.sort()) walk(relative === '' ? name : `${relative}/${name}`);
  };
  walk('');
  return lines;
}

/** Whether it is the name of a layer in the store's directory of them, not of what is beside one. */
export function isLayer(name: string): boolean {
  return /^[0-9a-f]{64}$/.test(name);
}
