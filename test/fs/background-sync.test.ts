import { closeSync, fsyncSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BackgroundSync } from '../../fs/sys/background-sync.ts';
import { EAGAIN, EBADF } from '../../fs/sys/errno.ts';
import { eventfd, waitUntilReadable } from '../../fs/sys/event.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { Playground, cannotMount, until } from './playground.ts';

const completions = eventfd();
const syncs = BackgroundSync.open(completions);
const missing = syncs === undefined ? 'needs io_setup(2)' : undefined;
const MOST = 64;

describe.skipIf(missing !== undefined)(titled('BackgroundSync', missing), () => {
  let directory: string;
  beforeAll(() => void (directory = mkdtempSync(join(tmpdir(), 'lamina-sync-'))));
  afterAll(() => {
    syncs?.close();
    closeSync(completions);
    rmSync(directory, { recursive: true });
  });

  /** Begins to sync a new file, which it closes. */
  function begin(dataOnly: boolean): number {
    const fd = openSync(join(directory, 'file'), 'a');
    writeSync(fd, 'more');
    const number = syncs?.begin(fd, dataOnly) ?? -1;
    closeSync(fd);
    return number;
  }

  /** Waits until the eventfd tells of one that is done. */
  function wait(): void {
    waitUntilReadable(completions);
    readSync(completions, Buffer.alloc(8));
  }

  test.each([true, false])('tells by the eventfd when a file is on the disk: data only %s', (dataOnly) => {
    const number = begin(dataOnly);
    expect(number).toBeGreaterThanOrEqual(0);
    wait();
    expect(syncs?.take(number)).toBe(0);
  });

  test('takes as many as it has room for, and others once those are taken', () => {
    const numbers = Array.from({ length: MOST }, () => begin(true));
    expect(numbers.toSorted((one, other) => one - other)).toEqual([...numbers.keys()]);
    expect(begin(true)).toBe(-EAGAIN);
    for (const number of numbers) while (syncs?.take(number) === undefined) wait();
    expect(begin(true)).toBe(0);
  });

  test('says why it cannot begin', () => {
    expect(syncs?.begin(9999, false)).toBe(-EBADF);
  });
});

const cannotTrace = firstMissing(cannotMount, has('strace'));

describe.skipIf(cannotTrace !== undefined)(titled('a mount whose kernel syncs no files by itself', cannotTrace), () => {
  test('brings a file to the disk by a thread of its own', async () => {
    const ground = new Playground();
    try {
      const trace = ['-f', '-o', 'trace', '-e', 'trace=io_setup,io_submit,fsync', '-e', 'inject=io_setup:error=ENOSYS'];
      const mount = [join(DIST, 'cli/fuse-lamina'), '-f', '-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm'];
      const { end } = ground.start(['strace', ...trace, ...mount]);
      await until('it is mounted', () => ground.mounted.includes('m'));
      const fd = openSync(ground.at('m/new'), 'w');
      writeSync(fd, 'text');
      fsyncSync(fd);
      closeSync(fd);
      expect(readFileSync(ground.at('m/bottom'), 'utf8')).toBe('bottom');
      expect(ground.run(['umount', 'm'])).toMatchObject({ code: 0 });
      expect(await end).toMatchObject({ code: 0 });
      const calls = readFileSync(ground.at('trace'), 'latin1');
      expect(calls).toMatch(/io_setup\(.*ENOSYS/);
      expect(calls).not.toContain('io_submit');
      expect(calls).toMatch(/ fsync\(\d+\) += 0|fsync resumed>.* = 0/);
    } finally {
      ground.clear();
    }
  });
});
