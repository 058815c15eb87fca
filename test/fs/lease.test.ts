import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hasWriters } from '../../fs/sys/lease.ts';

test('hasWriters: while a file is open for writing, and no longer', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lamina-lease-'));
  const path = join(directory, 'file');
  writeFileSync(path, 'content');
  const reader = openSync(path, 'r');
  expect(hasWriters(reader)).toBe(false);
  const writer = openSync(path, 'r+');
  expect(hasWriters(reader)).toBe(true);
  closeSync(writer);
  expect(hasWriters(reader)).toBe(false);
  // Nothing is left of the lease that who writes would have to wait for.
  closeSync(openSync(path, 'r+'));
  const directoryFd = openSync(directory, 'r');
  expect(hasWriters(directoryFd)).toBe(undefined);
  for (const fd of [reader, directoryFd]) closeSync(fd);
  rmSync(directory, { recursive: true });
});
