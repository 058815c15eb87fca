import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DirectoriesAside } from '../../fs/directories-aside.ts';

const NOTHING = { layers: [], names: [], places: [] };

describe('DirectoriesAside', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'lamina-aside-'));
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  /** A thread that comes up slowly, writes down that it has, and then does as told. */
  function program(then: string): URL {
    const path = join(directory, 'thread.mjs');
    const text = `
      import { parentPort } from 'node:worker_threads';
      import { writeFileSync } from 'node:fs';
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
      writeFileSync(${JSON.stringify(join(directory, 'up'))}, 'up');
      ${then}`;
    writeFileSync(path, text);
    return pathToFileURL(path);
  }

  test('stop does not end a thread that comes up before it has', async () => {
    const directories = new DirectoriesAside(
      program("parentPort.on('message', () => {}); parentPort.postMessage('ready');"),
    );
    directories.read(NOTHING);
    await directories.stop();
    expect(readFileSync(join(directory, 'up'), 'utf8')).toBe('up');
  });

  test.each([
    ['that ends instead', 'process.exit(1);'],
    ['that fails', "throw new Error('no');"],
  ])('stop does not wait for ever for a thread %s', async (_, then) => {
    const directories = new DirectoriesAside(program(then));
    directories.read(NOTHING);
    await directories.stop();
    await directories.stop();
  });

  test('stop has nothing to wait for where nothing was read', async () => {
    await expect(new DirectoriesAside().stop()).resolves.toBeUndefined();
  });
});
