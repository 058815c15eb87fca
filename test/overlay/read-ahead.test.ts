import { execFileSync, spawnSync } from 'node:child_process';
import { constants, mkdirSync, openSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { COUNTER, COUNTERS } from '../../fs/overlay/options.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { Ground } from './driver.ts';
import { low, mount, union } from './setup.ts';

// A file that is not in memory is read from the disk before somebody asks for it who goes through its directory.

const FILES = 60;
/** Names ahead at most, and bytes of each. */
const NAMES = 16;
const LENGTH = 256 << 10;

/** Bytes of each file that are in the page cache. */
function inMemory(directory: string, names: readonly string[]): number[] {
  const output = execFileSync('fincore', ['--bytes', '--noheadings', '--output', 'RES', ...names], { cwd: directory });
  return output.toString().trim().split('\n').map(Number);
}

/** Writes all files to the disk and lets go of their pages. */
function forget(directory: string): void {
  const script = 'sync "$@" && for file; do dd if="$file" iflag=nocache count=0 status=none; done';
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  execFileSync('sh', ['-c', script, 'sh', ...files.map(({ name }) => name)], { cwd: directory });
}

function missingDisk(): string | undefined {
  if (isRoot() !== undefined) return isRoot();
  if (spawnSync('fincore', ['--version']).status !== 0) return 'needs fincore of util-linux';
  const ground = new Ground();
  const directory = ground.directory('probe');
  writeFileSync(join(directory, 'file'), 'text');
  forget(directory);
  const [bytes] = inMemory(directory, ['file']);
  ground.remove();
  return bytes === 0 ? undefined : 'needs a temporary directory that is on a disk';
}

const missing = missingDisk();

describe.skipIf(missing !== undefined)(titled('reading ahead', missing), () => {
  let counters: Float64Array;
  const ahead = (): number => counters[COUNTER.filesReadAhead] ?? 0;

  /** Mounts, and answers the files in the order in which they are listed. */
  function begin(): string[] {
    counters = new Float64Array(COUNTERS);
    mount({ counters });
    const entries = union.entries('', true).sort((a, b) => a.next - b.next);
    return entries.filter(({ type }) => type === 8).map(({ name }) => name);
  }

  beforeEach(() => {
    for (let at = 0; at < FILES; at++) writeFileSync(join(low, `f${at}`), `text ${at}`.padEnd(10_000));
    forget(low);
  });

  test('has the next files in memory, so many and no more, for who reads them in the order of their listing', async () => {
    const names = begin();
    for (const name of names.slice(0, 8)) union.read(name);
    const next = names.slice(8, 7 + NAMES);
    await expect.poll(() => inMemory(low, next).includes(0)).toBe(false);
    expect(inMemory(low, names.slice(8 + NAMES)).some((bytes) => bytes > 0)).toBe(false);
    expect(ahead()).toBeGreaterThanOrEqual(NAMES);
    expect(names.map((name) => union.read(name).trim())).toEqual(names.map((name) => name.replace('f', 'text ')));
    expect(ahead()).toBeLessThan(FILES);
  });

  test('reads nothing ahead where files are in memory', () => {
    execFileSync('sh', ['-c', 'cat *'], { cwd: low });
    for (const name of begin()) union.read(name);
    expect(ahead()).toBe(0);
  });

  test('reads nothing ahead for who reads in another order, or one file again and again', () => {
    const names = begin();
    for (const name of names.toReversed()) union.read(name);
    forget(low);
    for (let at = 0; at < FILES; at++) union.read(names[at % 2] ?? '');
    expect(ahead()).toBe(0);
  });

  test('begins again for who comes back when the files are no longer in memory', () => {
    const names = begin();
    for (const name of names) union.read(name);
    const once = ahead();
    union.close();
    forget(low);
    mount({ counters });
    union.entries('', true);
    for (const name of names) union.read(name);
    expect(ahead()).toBeGreaterThan(once);
  });

  test('has the first files of a directory in memory when it was listed, for who came through another one', async () => {
    const next = join(low, 'next');
    mkdirSync(next);
    for (let at = 0; at < FILES; at++) writeFileSync(join(next, `f${at}`), `text ${at}`);
    forget(next);
    const names = begin();
    for (const name of names) union.read(name);
    const before = ahead();
    const first = union.entries('next', true).sort((a, b) => a.next - b.next);
    expect(ahead() - before).toBe(NAMES);
    const ofThem = first.slice(0, NAMES).map(({ name }) => name);
    await expect.poll(() => inMemory(next, ofThem).includes(0)).toBe(false);
  });

  test('ends when directories are listed and none of their files is read', () => {
    for (let at = 0; at < FILES; at++) {
      mkdirSync(join(low, `d${at}`));
      writeFileSync(join(low, `d${at}/file`), 'text');
    }
    for (const name of begin()) union.read(name);
    const before = ahead();
    for (let at = 0; at < FILES; at++) union.entries(`d${at}`, true);
    expect(ahead() - before).toBe(8);
  });

  test('opens neither a fifo nor what a symlink leads to, and reads of a long file its beginning', () => {
    const outside = join(low, '..', 'outside');
    writeFileSync(outside, 'not in a layer');
    for (let at = 0; at < FILES; at++) {
      execFileSync('mkfifo', [join(low, `p${at}`)]);
      symlinkSync(outside, join(low, `s${at}`));
    }
    for (const at of [1, 2, 3, 4]) writeFileSync(join(low, `long${at}`), Buffer.alloc(4 << 20, 1));
    forget(low);
    const names = begin();
    const stops = new Set(names.filter((name) => name.startsWith('long')));
    for (const name of names) if (!stops.has(name)) union.read(name);
    expect(ahead()).toBeGreaterThan(0);
    for (const bytes of inMemory(low, [...stops])) expect(bytes).toBeLessThanOrEqual(LENGTH);
    // Nobody has it open to read it.
    const { O_WRONLY, O_NONBLOCK } = constants;
    for (let at = 0; at < FILES; at++)
      expect(() => openSync(join(low, `p${at}`), O_WRONLY | O_NONBLOCK)).toThrow('ENXIO');
    const open = readdirSync('/proc/self/fd').map(targetOf);
    expect(open).not.toContain(outside);
  });
});

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    // The one that the directory was read through.
    return '';
  }
}
