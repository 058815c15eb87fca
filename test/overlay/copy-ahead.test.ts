import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CHANGE } from '../../fs/filesystem.ts';
import { ground, isRoot, low, mount, union } from './setup.ts';

// Where files are copied up one after the other, the next one's data is copied before it is asked for.

const FILES = 20;
const APPEND = 0o2001;
const LARGE = 2 << 20;

const name = (at: number): string => `f${String(at).padStart(2, '0')}`;
const text = (at: number): string => `text ${at}\n`;

function sharesBlocks(): boolean {
  const directory = mkdtempSync(join(tmpdir(), 'lamina-reflink-'));
  try {
    writeFileSync(join(directory, 'from'), 'x');
    execFileSync('cp', ['--reflink=always', 'from', 'to'], { cwd: directory, stdio: 'ignore' });
    return true;
  } catch {
    return false;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const missing = isRoot ? (sharesBlocks() ? 'copies share their blocks here' : undefined) : 'needs root';

describe.skipIf(missing !== undefined)(`copy-up of one file after the other${missing ? ` (${missing})` : ''}`, () => {
  /** Texts of the copies that nobody has asked for. */
  const ahead = (): string[] => {
    const aside = join(ground.work, 'work');
    return readdirSync(aside).map((temporary) => readFileSync(join(aside, temporary), 'utf8'));
  };
  const raise = (at: number): void => union.write(name(at), '+', APPEND);
  const inUpper = (file: string): string => readFileSync(join(ground.upper, file), 'utf8');

  function start(options = {}): void {
    for (let at = 0; at < FILES; at++) writeFileSync(join(low, name(at)), text(at));
    mount(options);
    union.filesystem.allowDeferral();
    union.list('/');
    for (let at = 0; at < FILES; at++) union.node(name(at));
  }

  beforeEach(() => {
    // However busy the disk is here: where it is slow, another thread copies.
    vi.spyOn(performance, 'now').mockReturnValue(0);
    start();
  });
  afterEach(() => vi.restoreAllMocks());

  test('copies nothing ahead for files in no order', () => {
    for (const at of [3, 9, 1, 15]) {
      raise(at);
      expect(ahead()).toEqual([]);
    }
  });

  test('copies the next file by name ahead after two in order, and each is whole', () => {
    raise(0);
    expect(ahead()).toEqual([]);
    for (let at = 1; at < FILES - 1; at++) {
      raise(at);
      expect(ahead()).toEqual([text(at + 1)]);
    }
    raise(FILES - 1);
    expect(ahead()).toEqual([]);
    for (let at = 0; at < FILES; at++) expect(inUpper(name(at))).toBe(`+${text(at).slice(1)}`);
  });

  test('copies the next file that is listed ahead, and gives it the owner that is asked for', () => {
    const listed = union.entries('/').sort((a, b) => a.next - b.next);
    const files = listed.map((entry) => entry.name);
    for (const [at, file] of files.entries()) {
      union.change(file, { valid: CHANGE.uid, uid: 7 });
      const next = files[at + 1];
      if (at > 0) expect(ahead()).toEqual(next === undefined ? [] : [text(Number(next.slice(1)))]);
    }
    for (const file of files) {
      expect(union.stat(file).uid).toBe(7);
      expect(inUpper(file)).toBe(text(Number(file.slice(1))));
    }
  });

  test('copies the first files ahead of a directory that is listed, and of the one that comes next', () => {
    const directories = ['x', 'x/y', 'z', 'zz'];
    for (const directory of directories) {
      mkdirSync(join(low, directory));
      writeFileSync(join(low, directory, 'file'), directory);
    }
    union.close();
    start();
    union.entries('/', true);
    for (let at = 0; at < 3; at++) raise(at);
    for (const [at, directory] of directories.entries()) {
      union.entries(`/${directory}`, true);
      const copied = ahead().filter((copy) => directories.includes(copy));
      expect(copied.sort()).toEqual(directories.slice(0, at + 2));
    }
    union.filesystem.rest();
    union.entries('/z', true);
    expect(ahead()).toEqual([]);
  });

  test('copies nothing ahead of layers that others may change', () => {
    union.close();
    start({ timeout: 1 });
    for (let at = 0; at < 4; at++) raise(at);
    expect(ahead()).toEqual([]);
  });

  test('copies nothing ahead in a volatile union, which waits for no disk', () => {
    union.close();
    start({ volatile: true });
    for (let at = 0; at < 4; at++) raise(at);
    expect(readdirSync(join(ground.work, 'work'))).toEqual(['incompat']);
  });

  test.each([
    ['rests', (): void => union.filesystem.rest()],
    ['ends', (): void => union.filesystem.destroy()],
  ])('leaves no copy when the session %s', (_, end) => {
    for (let at = 0; at < 3; at++) raise(at);
    expect(ahead()).toEqual([text(3)]);
    expect(union.filesystem.restsAfter).toBeGreaterThan(0);
    end();
    expect(ahead()).toEqual([]);
    if (_ === 'ends') mount();
  });

  test('leaves a file that is emptied, or removed, as it is to be, though its data was copied', () => {
    for (let at = 0; at < 3; at++) raise(at);
    union.change(name(3), { valid: CHANGE.size, size: 0 });
    expect(inUpper(name(3))).toBe('');
    expect(ahead()).toEqual([]);
    for (let at = 5; at < 8; at++) raise(at);
    expect(ahead()).toEqual([text(8)]);
    union.unlink(name(8));
    expect(union.list('/')).not.toContain(name(8));
    for (let at = 10; at < 12; at++) raise(at);
    expect(ahead()).toContain(text(12));
    union.filesystem.rest();
    expect(ahead()).toEqual([]);
    expect(inUpper(name(11))).toBe(`+${text(11).slice(1)}`);
  });

  test('does not copy large files ahead', () => {
    writeFileSync(join(low, name(2)), Buffer.alloc(LARGE));
    for (let at = 0; at < 2; at++) raise(at);
    expect(ahead()).toEqual([]);
  });
});
