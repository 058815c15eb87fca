import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DirectorySink } from '../../fs/filesystem.ts';
import { type Handle, WAY } from '../../fs/overlay/handle.ts';
import { type Inode } from '../../fs/overlay/inode.ts';
import { resolve } from '../../fs/overlay/lookup.ts';
import { readEntries } from '../../fs/overlay/read-directory.ts';
import { unlinkName } from '../../fs/overlay/remove.ts';
import { createFile } from '../../fs/overlay/create.ts';
import { Union } from '../../fs/overlay/union.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import { Ground, ROOT } from './driver.ts';

// What open directories hold in memory, by counting; what they list is the conformance suite's.

/** With this cache, a directory of more than 16 entries is too large for it. */
const CACHE_ENTRIES = 64;
const ENTRIES = 40;
const DIRECTORIES = { small: 10, large: ENTRIES, other: 15, another: 15, third: 15 };
const HANDLES = 200;

const isRoot = process.getuid?.() === 0;

let ground: Ground;
let union: Union;

beforeEach(() => {
  ground = new Ground();
  for (const [name, entries] of Object.entries(DIRECTORIES)) {
    for (const layer of ['low', 'deep']) mkdirSync(join(ground.directory(layer), name), { recursive: true });
    for (let at = 0; at < entries; at++) {
      writeFileSync(join(ground.path, at % 2 === 0 ? 'low' : 'deep', name, `f${at}`), '');
    }
  }
  union = new Union({
    lowers: ['low', 'deep'].map((layer) => toBytes(join(ground.path, layer))),
    upper: toBytes(ground.upper),
    work: toBytes(ground.work),
    cacheEntries: CACHE_ENTRIES,
  });
});

afterEach(() => {
  union.close();
  ground.remove();
});

function directory(name: keyof typeof DIRECTORIES): Inode {
  const inode = resolve(union, union.inodes.root, name, undefined);
  if (typeof inode === 'number') throw new Error(`no directory: ${inode}`);
  return inode;
}

function open(inode: Inode): Handle {
  const handle = union.handles.get(union.handles.open(inode, -1, 0, WAY.none));
  if (handle === undefined) throw new Error('no handle');
  return handle;
}

/** Names from `offset` on, at most so many, and the offset behind them. */
function read(handle: Handle, offset = 0, limit = Infinity): { names: string[]; next: number } {
  const names: string[] = [];
  let next = offset;
  const sink: DirectorySink = {
    plus: false,
    entry: { node: 0, generation: 0, attr: new Attr(), attributesLast: true },
    fits: () => names.length < limit,
    add: (name, _ino, _type, behind) => {
      names.push(name);
      next = behind;
    },
  };
  expect(readEntries(union, handle, offset, sink)).toBe(0);
  return { names: names.filter((name) => name !== '.' && name !== '..'), next };
}

/** Opens a directory and reads it. */
function listOnce(inode: Inode): number {
  const handle = open(inode);
  read(handle);
  return handle.id;
}

const entry = { node: 0, generation: 0, attr: new Attr(), attributesLast: true };
const opened = { handle: -1, keepCache: false, directIo: false, backing: 0 };

function create(inode: Inode, name: string): void {
  expect(createFile(union, ROOT, inode, name, 0o644, 1, entry, opened)).toBe(0);
  union.handles.close(opened.handle);
}

describe.skipIf(!isRoot)('open directories (needs root)', () => {
  test.each(['small', 'large'] as const)('readEntries of a %s directory shares one index and one order', (name) => {
    const inode = directory(name);
    const others = (['other', 'another', 'third'] as const).map(directory);
    const handles = Array.from({ length: HANDLES }, (_, at) => {
      const handle = open(inode);
      read(handle);
      // Each has to do with a changed directory, and with one that the cache has given up.
      create(inode, 'new');
      expect(unlinkName(union, inode, 'new')).toBe(0);
      if (at % 2 === 0) for (const other of others) union.handles.close(listOnce(other));
      return handle;
    });
    expect(new Set(handles.map(({ index }) => index)).size).toBe(1);
    expect(new Set(handles.map(({ order }) => order)).size).toBe(1);
    expect(handles.at(-1)?.index).toBe(inode.listed);
    for (const { id } of handles) union.handles.close(id);
    expect(inode.listed).toBeUndefined();
  });

  test('readEntries from an offset goes on behind it while names go, come back and come', () => {
    const inode = directory('large');
    const handle = open(inode);
    const { names: first, next } = read(handle, 0, 12);
    const [gone] = first;
    const ahead = read(handle, next).names;
    expect(unlinkName(union, inode, gone ?? '')).toBe(0);
    expect(unlinkName(union, inode, ahead[3] ?? '')).toBe(0);
    create(inode, gone ?? '');
    create(inode, 'new');
    const rest = read(handle, next).names;
    expect(rest).toEqual(ahead.filter((name) => name !== ahead[3]));
    expect(read(handle).names.sort()).toEqual([...first, ...rest, 'new'].sort());
  });

  test('readEntries holds no more of names that went than of names that are there', () => {
    const inode = directory('large');
    const handle = open(inode);
    const longest = Math.max(
      ...Array.from({ length: 5000 }, (_, at) => {
        create(inode, `t${at}`);
        expect(unlinkName(union, inode, `t${at}`)).toBe(0);
        read(handle);
        return handle.order.length;
      }),
    );
    expect(longest).toBeLessThan(2 * 1024 + 2 * ENTRIES);
    expect(read(handle).names).toHaveLength(ENTRIES);
  });
});
