import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  accessSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { titled } from '../support/requirements.ts';
import { cannotMount, Playground } from './playground.ts';

// Not a whole number of pages, so that the last of the kernel's reads goes beyond the end.
const SIZE = (3 << 20) + 12_345;
const SECTOR = 512;

const settingOf = (device: string): string => `/sys/class/bdi/${device}/read_ahead_kb`;

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const [anyDevice = ''] = readdirSync('/sys/class/bdi');
const cannotExtend = cannotMount ?? (isWritable(settingOf(anyDevice)) ? undefined : 'needs root and a writable /sys');

/** The kernel's setting for the mount that a path is on. */
function readAheadOf(path: string): string {
  const device = execFileSync('findmnt', ['--noheadings', '--output', 'MAJ:MIN', path], { encoding: 'utf8' });
  return readFileSync(settingOf(device.trim()), 'utf8');
}

describe.skipIf(cannotMount !== undefined)(titled('large reads', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  test('give a file’s bytes, by the page cache and past it, and none that were cut off', () => {
    const data = randomBytes(SIZE);
    writeFileSync(ground.at('B/large'), data);
    expect(ground.fuseLamina('-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm')).toMatchObject({ code: 0 });
    expect(readFileSync(ground.at('m/large')).equals(data)).toBe(true);
    const part = Buffer.alloc(1000 * SECTOR);
    const fd = openSync(ground.at('m/large'), constants.O_RDONLY | constants.O_DIRECT);
    for (const position of [SECTOR, 6000 * SECTOR]) {
      const length = readSync(fd, part, 0, part.length, position);
      expect(length).toBe(Math.min(part.length, SIZE - position));
      expect(part.subarray(0, length).equals(data.subarray(position, position + length))).toBe(true);
    }
    closeSync(fd);
    truncateSync(ground.at('m/large'), 1 << 20);
    expect(readFileSync(ground.at('m/large')).equals(data.subarray(0, 1 << 20))).toBe(true);
  });

  const ahead = titled('are made of fewer requests where the machine lets the mount read further ahead', cannotExtend);
  test.skipIf(cannotExtend !== undefined)(ahead, () => {
    writeFileSync(ground.at('B/large'), randomBytes(SIZE));
    expect(ground.fuseLamina('-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm')).toMatchObject({ code: 0 });
    expect(readAheadOf(ground.at('m'))).toBe('512\n');
    expect(execFileSync('cat', [ground.at('m/large')], { maxBuffer: 2 * SIZE })).toHaveLength(SIZE);
    const { stdout } = ground.lamina('stats', '--json', 'm');
    expect((JSON.parse(stdout) as { requests: { READ: number } }).requests.READ).toBeLessThan(SIZE / (128 << 10));
  });
});
