import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { titled } from '../support/requirements.ts';
import { cannotMount, Playground } from './playground.ts';

// tmpfs takes files of up to 8 EiB, more than a number holds exactly; in its last pages it finds no data by SEEK_DATA.
const FARTHEST = 2n ** 62n;
const LAST = 2n ** 63n - 4096n;

describe.skipIf(cannotMount !== undefined)(titled('files of up to 8 EiB', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => {
    ground = new Playground();
    expect(ground.run(['mount', '-t', 'tmpfs', 'tmpfs', 'B']).code).toBe(0);
    expect(ground.run(['mount', '-t', 'tmpfs', 'tmpfs', 'U2']).code).toBe(0);
    expect(ground.run(['mkdir', 'U2/upper', 'U2/work']).code).toBe(0);
  });
  afterEach(() => ground.clear());

  const mount = (): void => {
    expect(ground.fuseLamina('-o', 'lowerdir=A:B,upperdir=U2/upper,workdir=U2/work', 'm')).toMatchObject({ code: 0 });
  };
  const write = (path: string, text: string, offset: bigint): void => {
    const command = 'printf "$0" | dd of="$1" oflag=seek_bytes seek="$2" conv=notrunc status=none';
    expect(ground.run(['sh', '-c', command, text, path, String(offset)])).toMatchObject({ code: 0, stderr: '' });
  };
  const read = (path: string, offset: bigint, length: number): string => {
    const fd = openSync(ground.at(path), 'r');
    const data = Buffer.alloc(length);
    const count = readSync(fd, data, { position: offset });
    closeSync(fd);
    return data.toString('latin1', 0, count);
  };
  const size = (path: string): bigint => statSync(ground.at(path), { bigint: true }).size;

  test('are written and read at their far end, and truncated', () => {
    mount();
    write('m/new', 'far out', FARTHEST);
    expect(size('m/new')).toBe(FARTHEST + 7n);
    expect(size('U2/upper/new')).toBe(FARTHEST + 7n);
    expect(read('m/new', FARTHEST + 4n, 10)).toBe('out');
    expect(read('U2/upper/new', FARTHEST, 10)).toBe('far out');
    expect(ground.run(['truncate', '-s', String(FARTHEST + 3n), 'm/new']).code).toBe(0);
    expect(read('m/new', FARTHEST, 10)).toBe('far');
    expect(size('U2/upper/new')).toBe(FARTHEST + 3n);
    write('m/new', 'the end', LAST);
    expect(read('U2/upper/new', LAST + 4n, 10)).toBe('end');
  });

  test('are copied up, holes as holes', () => {
    write('B/old', 'begin', 0n);
    write('B/old', 'middle', 2n ** 54n);
    write('B/old', 'end', FARTHEST);
    mount();
    expect(ground.run(['chmod', '600', 'm/old']).code).toBe(0);
    expect(size('U2/upper/old')).toBe(FARTHEST + 3n);
    expect(read('U2/upper/old', 0n, 5)).toBe('begin');
    expect(read('U2/upper/old', 2n ** 54n, 6)).toBe('middle');
    expect(read('U2/upper/old', FARTHEST, 6)).toBe('end');
    expect(statSync(ground.at('U2/upper/old')).blocks).toBeLessThan(1_000);
  });

  test('have a hole punched and their data sought at their far end', () => {
    mount();
    write('m/new', 'x'.repeat(4096), FARTHEST - 4096n);
    write('m/new', 'end', FARTHEST);
    const punch = ['fallocate', '--punch-hole', '--offset', String(FARTHEST - 4096n), '--length', '4096', 'm/new'];
    expect(ground.run(punch)).toMatchObject({ code: 0 });
    expect(read('m/new', FARTHEST - 4n, 7)).toBe('\0\0\0\0end');
    // cp looks for data by SEEK_DATA: without it, it would read 8 EiB of zeros.
    expect(ground.run(['cp', 'm/new', 'm/copy'])).toMatchObject({ code: 0 });
    expect(read('m/copy', FARTHEST, 7)).toBe('end');
    expect(size('m/copy')).toBe(FARTHEST + 3n);
  });
});
