import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { titled } from '../support/requirements.ts';
import { cannotMount, PATIENCE, Playground } from './playground.ts';

/** How many files the kernel knows: `LAMINA_INODES`. */
const INODES = Number(process.env['LAMINA_INODES'] ?? 100_000);

const PER_INODE = 260;
/** What does not grow with a million of them: the cache of directories, and spaces of the heap, larger since Node 24. */
const BESIDE = 20 << 20;

const MAKE = `import os, sys
for number in range(int(sys.argv[1])):
    if number % 100 == 0: os.makedirs(f'A/many/{number // 100}')
    os.mknod(f'A/many/{number // 100}/a-file-of-many-{number}')`;

describe.skipIf(cannotMount !== undefined)(titled("a daemon's memory", cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  test(`${PER_INODE} bytes for each inode at most`, { timeout: Math.max(PATIENCE, INODES) }, () => {
    expect(ground.run(['mount', '-t', 'tmpfs', '-o', 'size=50%,nr_inodes=0', 'lamina-memory', 'A']).code).toBe(0);
    ground.run(['python3', '-c', MAKE, `${INODES}`]);
    const { code, stderr } = ground.fuseLamina('-o', 'lowerdir=A', 'm');
    expect([code, stderr]).toEqual([0, '']);
    const pid = ground.daemonOf('m');
    const resident = (): number =>
      Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
    const before = resident();
    const found = ground.run(['sh', '-c', "find m/many -type f -printf '%s\\n' | wc -l"]);
    expect(found.stdout.trim()).toBe(`${INODES}`);
    expect(resident() - before).toBeLessThan(BESIDE + PER_INODE * INODES);
  });
});
