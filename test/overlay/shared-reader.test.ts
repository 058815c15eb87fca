import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { O_RDONLY } from '../../fs/sys/constants.ts';
import { isRoot, low, mount, union } from './setup.ts';

// Who reads a file of a lower layer shares one descriptor with all others, of which only so many stay open.

const FILES = 600;

const descriptors = (): number => readdirSync('/proc/self/fd').length;

function open(path: string): { readonly node: number; readonly handle: number } {
  const node = union.node(path);
  expect(union.filesystem.open(node, O_RDONLY, union.opened)).toBe(0);
  return { node, handle: union.opened.handle };
}

describe.skipIf(!isRoot)('open of a lower file to read it (needs root)', () => {
  beforeEach(() => {
    for (let at = 0; at < FILES; at++) writeFileSync(join(low, `f${at}`), `text ${at}`);
    mount();
  });

  test('takes one descriptor, however often it is open', () => {
    const before = descriptors();
    const opened = Array.from({ length: FILES }, () => open('f0'));
    expect(descriptors() - before).toBeLessThanOrEqual(1);
    for (const { node, handle } of opened.slice(1)) union.filesystem.release(node, handle);
    expect(union.readHandle(opened[0]?.node ?? 0, opened[0]?.handle ?? 0)).toBe('text 0');
  });

  test('takes bounded descriptors for files without bound, each of which is read', () => {
    const before = descriptors();
    const opened = Array.from({ length: FILES }, (_, at) => open(`f${at}`));
    expect(descriptors() - before).toBeLessThan(FILES / 2);
    const texts = opened.map(({ node, handle }) => union.readHandle(node, handle));
    expect(texts).toEqual(opened.map((_, at) => `text ${at}`));
  });

  test('shows what is written after its copy-up, also when its name is gone and others were read since', () => {
    const { node, handle } = open('f0');
    union.write('f0', 'new text');
    union.unlink('f0');
    for (let at = 1; at < FILES; at++) union.read(`f${at}`);
    expect(union.readHandle(node, handle)).toBe('new text');
  });
});
