import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  closeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeTree } from '../../fs/sys/remove-tree.ts';

let base: string;
let fd: number;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'lamina-remove-'));
  fd = openSync(base, 'r');
});

afterEach(() => {
  closeSync(fd);
  rmSync(base, { recursive: true, force: true });
});

test('removeTree removes a tree far deeper than its stack, and names that it would itself give', () => {
  let path = join(base, 'deep');
  mkdirSync(path);
  mkdirSync(join(path, '.removing-1'));
  const start = process.cwd();
  // Relative steps: the whole path would be longer than PATH_MAX.
  for (let depth = 0; depth < 3000; depth += 1) {
    process.chdir(path);
    path = 'd';
    mkdirSync(path);
    writeFileSync('f', '');
  }
  process.chdir(start);
  removeTree(fd, 'deep');
  expect(existsSync(join(base, 'deep'))).toBe(false);
});

test('removeTree follows no symlink and opens closed directories', () => {
  writeFileSync(join(base, 'kept'), 'kept');
  mkdirSync(join(base, 'tree/closed'), { recursive: true });
  symlinkSync(base, join(base, 'tree/out'));
  writeFileSync(join(base, 'tree/closed/x'), '');
  chmodSync(join(base, 'tree/closed'), 0);
  removeTree(fd, 'tree');
  expect(existsSync(join(base, 'kept'))).toBe(true);
  expect(existsSync(join(base, 'tree'))).toBe(false);
});

test('removeTree removes a file, and is content where there is nothing', () => {
  writeFileSync(join(base, 'file'), '');
  removeTree(fd, 'file');
  removeTree(fd, 'file');
  expect(existsSync(join(base, 'file'))).toBe(false);
});

test('removeTree says what it could not remove', () => {
  const proc = openSync('/proc/self', 'r');
  expect(() => removeTree(proc, 'status')).toThrow(/cannot remove status/);
  closeSync(proc);
});
