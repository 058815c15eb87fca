import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BackgroundSync } from '../../fs/sys/background-sync.ts';
import { EAGAIN, EBADF } from '../../fs/sys/errno.ts';
import { eventfd, waitUntilReadable } from '../../fs/sys/event.ts';
import { titled } from '../support/requirements.ts';

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
