import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DirectorySink, NO_HANDLE } from '../../fs/filesystem.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { type Driver, Ground } from './driver.ts';

// Directories that are read without having been opened: nothing tells who reads them, and for how long.

const ENTRIES = 2200;
const isRoot = process.getuid?.() === 0;

let ground: Ground;
let union: Driver;

beforeEach(() => {
  ground = new Ground();
  const directory = join(ground.directory('low'), 'd');
  mkdirSync(directory);
  for (let at = 0; at < ENTRIES; at++) writeFileSync(join(directory, `f${at}`), '');
  union = ground.overlay([join(ground.path, 'low')]);
});

afterEach(() => {
  union.close();
  ground.remove();
});

/** Somebody who reads a directory, a few names at a time. */
class Reader {
  readonly names: string[] = [];
  #next = 0;

  /** Answers whether there was more. */
  read(path: string, limit: number): boolean {
    let room = limit;
    const sink: DirectorySink = {
      plus: false,
      entry: { node: 0, generation: 0, attr: new Attr(), attributesLast: true },
      fits: () => room > 0,
      add: (name, _ino, _type, next) => {
        room--;
        if (!name.startsWith('.')) this.names.push(name);
        this.#next = next;
      },
    };
    expect(union.filesystem.readdir(union.node(path), NO_HANDLE, this.#next, sink)).toBe(0);
    return room < limit;
  }

  readAll(path: string): this {
    while (this.read(path, 500));
    return this;
  }
}

describe.skipIf(!isRoot)('readdir without a handle (needs root)', () => {
  test('gives a reader each name once, whoever else reads meanwhile and whatever goes', () => {
    const slow = new Reader();
    slow.read('d', 100);
    // More than the holes at which the index makes its order anew for those who begin.
    const gone = new Set(Array.from({ length: ENTRIES / 2 + 50 }, (_, at) => `f${at}`));
    for (const name of gone) union.unlink(`d/${name}`);
    expect(new Reader().readAll('d').names).toHaveLength(ENTRIES - gone.size);
    union.create('d/new');
    expect(new Reader().readAll('d').names).toContain('new');
    const early = new Set(slow.names);
    slow.readAll('d');
    expect(new Set(slow.names).size).toBe(slow.names.length);
    const expected = Array.from({ length: ENTRIES }, (_, at) => `f${at}`).filter((name) => !gone.has(name));
    // What came after it had begun may be there, as another reader has begun since.
    const found = slow.names.filter((name) => name !== 'new' && (!early.has(name) || !gone.has(name)));
    expect(found.sort()).toEqual(expected.sort());
  });

  test('goes on where a reader stopped, after many others have begun and not ended', () => {
    const slow = new Reader();
    slow.read('d', 1000);
    for (let at = 0; at < 300; at++) {
      union.mkdir(`e${at}`);
      union.create(`e${at}/f`);
      new Reader().read(`e${at}`, 3);
    }
    expect(new Set(slow.readAll('d').names).size).toBe(ENTRIES);
    expect(slow.names).toHaveLength(ENTRIES);
  });

  test('a directory that was removed has no entries, and none of a file is listed', () => {
    union.mkdir('e');
    const reader = new Reader();
    expect(reader.read('e', 2)).toBe(true);
    const node = union.node('e');
    union.rmdir('e');
    const sink: DirectorySink = {
      plus: false,
      entry: { node: 0, generation: 0, attr: new Attr(), attributesLast: true },
      fits: () => true,
      add: () => expect.unreachable(),
    };
    expect(union.filesystem.readdir(node, NO_HANDLE, 0, sink)).toBe(0);
    expect(union.filesystem.readdir(union.node('d/f0'), NO_HANDLE, 0, sink)).toBeLessThan(0);
  });
});
