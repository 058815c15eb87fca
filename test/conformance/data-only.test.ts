import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { Item, type Tree, directory, file, symlink } from '../support/tree.ts';
import { type System } from '../support/system.ts';
import { type Row, conformance } from './suite.ts';

// Layers as composefs has them: a tree of metacopies, and their data in layers that do not show.

/** Marks a file in both forms; a user namespace has the one of `user.*` alone. */
async function mark(system: System, path: string, name: string, value: string): Promise<void> {
  await errnoOf(system.setxattr(path, `trusted.overlay.${name}`, value));
  await system.setxattr(path, `user.overlay.${name}`, value);
}

/**
 * A metacopy.
 * @param redirect where its data is: a name beside it, or, with a slash in front, a path from the row's directory.
 */
function metacopy(size: number, redirect?: string): Item {
  return new Item(async (system, path) => {
    await system.put(path, '');
    await system.truncate(path, size);
    await mark(system, path, 'metacopy', '');
    const row = /\/l\d+(\/row\d+)\//.exec(path)?.[1] ?? '';
    if (redirect !== undefined)
      await mark(system, path, 'redirect', redirect.startsWith('/') ? row + redirect : redirect);
  });
}

const OBJECTS: Tree = { objects: { aa: 'data of a', b: { bb: 'data of b' } } };

/** What holds with and without `metacopy=on`: of the bottom layer's metacopies. */
const ALWAYS: readonly Row[] = [
  {
    name: 'a metacopy of the bottom layer reads its data from a data-only layer, whose names do not show',
    lowers: [{}, { a: metacopy(9, '/objects/aa'), d: { b: metacopy(9, '/objects/b/bb') } }, OBJECTS, {}],
    async run({ root, at }) {
      expect(await root.names(at())).toEqual(['a', 'd']);
      expect(await errnoOf(root.stat(at('objects')))).toBe('ENOENT');
      expect(await root.text(at('a'))).toBe('data of a');
      expect(await root.text(at('d/b'))).toBe('data of b');
      expect((await root.stat(at('a'))).size).toBe(9);
    },
  },
  {
    name: 'of several data-only layers the first that has the path gives the data',
    lowers: [
      {},
      { a: metacopy(3, '/o/a'), b: metacopy(3, '/o/b'), c: metacopy(3, '/o/c') },
      { o: { a: 'one', c: {} } },
      { o: { a: 'two', b: 'two', c: 'two' } },
    ],
    async run({ root, at }) {
      expect(await root.text(at('a'))).toBe('one');
      expect(await root.text(at('b'))).toBe('two');
      expect(await root.text(at('c'))).toBe('two');
    },
  },
  {
    name: 'data that is nowhere is ENOENT when it is used, not before',
    lowers: [{}, { a: metacopy(5000, '/objects/none') }, OBJECTS, {}],
    async run({ root, at }) {
      const { size, blocks } = await root.stat(at('a'));
      expect([size, blocks]).toEqual([5000, 16]);
      expect(await errnoOf(root.text(at('a')))).toBe('ENOENT');
      expect(await errnoOf(root.put(at('a'), 'x', 1))).toBe('ENOENT');
      await root.unlink(at('a'));
      expect(await root.names(at())).toEqual([]);
    },
  },
  {
    name: 'no symlink leads to data, and nothing but a regular file is data',
    lowers: [
      {},
      { s: metacopy(9, '/objects/s'), d: metacopy(9, '/objects/b'), t: metacopy(9, '/t/bb') },
      { objects: { s: symlink('aa'), aa: 'secret', b: {} }, t: symlink('objects') },
      {},
    ],
    async run({ root, at }) {
      expect(await errnoOf(root.text(at('s')))).toBe('ENOENT');
      expect(await errnoOf(root.text(at('d')))).toBe('ENOENT');
      expect(await errnoOf(root.text(at('t')))).not.toBe('none');
    },
  },
  {
    name: 'a metacopy among the data is read as it is',
    lowers: [
      {},
      { a: metacopy(9, '/objects/aa') },
      { objects: { aa: metacopy(9, '/objects/bb'), bb: 'data of b' } },
      {},
    ],
    async run({ root, at }) {
      expect(await root.text(at('a'))).toBe('\0'.repeat(9));
    },
  },
  {
    name: 'a file whose data is in a data-only layer is copied up whole by a write',
    lowers: [{}, { a: metacopy(9, '/objects/aa'), t: metacopy(9, '/objects/aa') }, OBJECTS, {}],
    async run({ root, at, lower }) {
      const { ino } = await root.stat(at('a'));
      const fd = await root.open(at('a'), 0x401);
      await root.write(fd, ' and more');
      await root.close(fd);
      await root.put(at('t'), 'new');
      expect((await root.stat(at('a'))).ino).toBe(ino);
      expect(await root.text(lower(2, 'objects/aa'))).toBe('data of a');
    },
    async after({ root, at }) {
      expect(await root.text(at('a'))).toBe('data of a and more');
      expect(await root.text(at('t'))).toBe('new');
    },
  },
  {
    name: 'chmod, chown, rename and link of a metacopy keep its data',
    lowers: [
      {},
      { a: metacopy(9, '/objects/aa'), b: metacopy(9, '/objects/b/bb'), d: { c: metacopy(9, '/objects/aa') }, e: {} },
      OBJECTS,
      {},
    ],
    async run({ root, at }) {
      await root.chmod(at('a'), 0o600);
      await root.rename(at('a'), at('e/moved'));
      await root.chown(at('b'), 5, 6);
      await root.link(at('b'), at('e/linked'));
      expect(await root.text(at('e/moved'))).toBe('data of a');
    },
    async after({ root, at }) {
      expect(await root.text(at('e/moved'))).toBe('data of a');
      expect((await root.stat(at('e/moved'))).mode & 0o7777).toBe(0o600);
      expect(await root.text(at('e/linked'))).toBe('data of b');
      expect((await root.stat(at('b'))).uid).toBe(5);
      await root.put(at('e/linked'), 'X', 1);
      expect(await root.text(at('b'))).toBe('Xata of b');
    },
  },
  {
    name: 'an open file of a data-only layer sees what is written after its copy-up',
    lowers: [{}, { a: metacopy(9, '/objects/aa') }, OBJECTS, {}],
    differs: { kernel: 'a descriptor that was opened before the copy-up reads what was below it' },
    async run({ root, at }) {
      const fd = await root.open(at('a'), 0);
      expect((await root.pread(fd, 4, 0)).toString()).toBe('data');
      await root.put(at('a'), 'DATA', 1);
      expect((await root.pread(fd, 9, 0)).toString()).toBe('DATA of a');
      expect((await root.fstat(fd)).size).toBe(9);
    },
  },
  {
    name: 'a large file of a data-only layer is read and copied up',
    lowers: [
      {},
      { a: metacopy(3_000_000, '/objects/large') },
      { objects: { large: file(Buffer.alloc(3_000_000, 'large')) } },
      {},
    ],
    async run({ root, at }) {
      expect((await root.contents(at('a'))).equals(Buffer.alloc(3_000_000, 'large'))).toBe(true);
      await root.put(at('a'), 'L', 1);
      expect((await root.contents(at('a'))).subarray(0, 6).toString()).toBe('Largel');
    },
    async after({ root, at }) {
      expect((await root.contents(at('a'))).length).toBe(3_000_000);
    },
  },
  {
    name: 'a whiteout and an opaque directory of a data-only layer hide nothing',
    lowers: [
      {},
      { a: metacopy(9, '/objects/aa'), d: { below: '' } },
      { d: directory({ '.wh.below': '' }, { xattrs: { 'user.overlay.opaque': 'y' } }), '.wh.a': '' },
      OBJECTS,
    ],
    async run({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['below']);
      expect(await root.text(at('a'))).toBe('data of a');
    },
  },
];

/** Without `metacopy=on`, nothing else is followed. */
const REFUSED: readonly Row[] = [
  {
    name: 'a metacopy of another layer than the bottom one is not followed',
    lowers: [{ a: metacopy(9, '/objects/aa') }, {}, OBJECTS, {}],
    async run({ root, at }) {
      expect(await errnoOf(root.text(at('a')))).toBe('EPERM');
    },
  },
  {
    name: 'a metacopy without an absolute redirect is not followed',
    lowers: [{ a: metacopy(9) }, { a: 'data of a', b: metacopy(9, 'bb'), bb: 'data of b' }, {}, {}],
    async run({ root, at }) {
      expect(await errnoOf(root.text(at('a')))).toBe('EPERM');
      expect(await errnoOf(root.text(at('b')))).toBe('EPERM');
    },
  },
];

/** With `metacopy=on`, whatever leads there. */
const FOLLOWED: readonly Row[] = [
  {
    name: 'a metacopy whose data is nowhere shows its attributes, is EIO when it is read, and can be removed',
    differs: { kernel: 'overlayfs has EIO for its very name, which then cannot be removed' },
    lowers: [{ a: metacopy(9), b: metacopy(9, 'aa') }, {}, OBJECTS, {}],
    async run({ root, at }) {
      for (const name of ['a', 'b']) {
        expect((await root.stat(at(name))).size).toBe(9);
        expect(await errnoOf(root.text(at(name)))).toBe('EIO');
        await root.unlink(at(name));
      }
      expect(await root.names(at())).toEqual([]);
    },
  },
  {
    name: 'a metacopy of a metacopy leads to a data-only layer',
    lowers: [
      { a: metacopy(9), r: metacopy(9, 'q') },
      { a: metacopy(9, '/objects/aa'), q: metacopy(9, '/objects/b/bb') },
      OBJECTS,
      {},
    ],
    async run({ root, at }) {
      expect(await root.text(at('a'))).toBe('data of a');
      expect(await root.text(at('r'))).toBe('data of b');
    },
  },
  {
    name: 'an absolute redirect finds a file of a regular layer before one of a data-only layer',
    lowers: [{ a: metacopy(7, '/objects/aa') }, { objects: { aa: 'regular' } }, OBJECTS, {}],
    async run({ root, at }) {
      expect(await root.text(at('a'))).toBe('regular');
    },
  },
  {
    name: 'metadata of a file whose data is in a data-only layer is copied up alone',
    lowers: [
      {},
      { a: metacopy(3_000_000, '/objects/large') },
      { objects: { large: file(Buffer.alloc(3_000_000, 'x')) } },
      {},
    ],
    async run({ root, at, upper }) {
      await root.chmod(at('a'), 0o600);
      expect((await root.stat(upper('a'))).blocks).toBeLessThan(100);
      await root.rename(at('a'), at('b'));
      expect((await root.stat(upper('b'))).blocks).toBeLessThan(100);
    },
    async after({ root, at }) {
      expect((await root.contents(at('b'))).equals(Buffer.alloc(3_000_000, 'x'))).toBe(true);
    },
  },
];

const LAYERS = { lowers: 4, dataOnly: 2 };

conformance('data-only layers', [...ALWAYS, ...REFUSED], {
  ...LAYERS,
  options: { kernel: ['metacopy=off'], lamina: ['metacopy=off'] },
});

conformance('data-only layers with metacopy=on', [...ALWAYS, ...FOLLOWED], {
  ...LAYERS,
  options: { lamina: ['metacopy=on'] },
});

conformance('data-only layers with userxattr', [...ALWAYS, ...REFUSED], {
  ...LAYERS,
  options: { kernel: ['userxattr', 'metacopy=off', 'redirect_dir=nofollow'], lamina: ['userxattr', 'metacopy=off'] },
});
