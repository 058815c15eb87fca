import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { Item, type Tree, symlink, whiteout } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const COUNT = 500;

function sparse(entries: Readonly<Record<number, Tree>>): readonly Tree[] {
  return Array.from({ length: COUNT }, (_, index) => entries[index] ?? {});
}

const many: readonly Row[] = [
  {
    name: `a file of the bottom of ${COUNT} layers is read, changed and hidden`,
    lowers: sparse({ 499: { a: 'bottom', d: { e: 'deep' } } }),
    async run({ root, at }) {
      expect(await root.text(at('a'))).toBe('bottom');
      await root.put(at('a'), 'changed');
      await root.unlink(at('d/e'));
    },
    async after({ root, at }) {
      expect(await root.text(at('a'))).toBe('changed');
      expect(await root.names(at('d'))).toEqual([]);
    },
  },
  {
    name: `a directory merges over ${COUNT} layers, in which names hide and show`,
    lowers: Array.from({ length: COUNT }, (_, index) => ({
      d: { [`only-${index}`]: '', every: `${index}`, ...(index === 250 ? { half: whiteout } : { half: `${index}` }) },
    })),
    async run({ root, at }) {
      const names = await root.names(at('d'));
      expect(names).toHaveLength(COUNT + 2);
      expect(await root.text(at('d/every'))).toBe('0');
      expect(await errnoOf(root.stat(at('d/only-499')))).toBe('none');
    },
  },
];

conformance(`${COUNT} lowers`, many, { lowers: COUNT });

const escapes: readonly Row[] = [
  {
    name: 'an absolute symlink in a layer is the caller’s to follow, not the union’s',
    lowers: [{ s: symlink('/etc/hostname'), d: symlink('/etc'), up: symlink('../../..') }],
    async run({ root, at }) {
      expect(await root.readlink(at('s'))).toBe('/etc/hostname');
      expect((await root.stat(at('d'))).mode & 0o170000).toBe(0o120000);
      expect(await root.readlink(at('up'))).toBe('../../..');
    },
  },
  {
    name: 'a symlink that a lower directory became is not followed at copy-up',
    lowers: [{ d: symlink('../outside') }, { d: { a: 'inside' } }],
    async run({ root, at, upper }) {
      // The topmost layer has a symlink: what lies below it is hidden, and nothing is written through it.
      expect(await errnoOf(root.put(at('d/new'), 'x'))).toBe('ENOENT');
      await root.unlink(at('d'));
      await root.mkdir(at('d'));
      await root.put(at('d/new'), 'x');
      expect(await root.names(at('d'))).toEqual(['new']);
      expect((await root.stat(upper('d'))).mode & 0o170000).toBe(0o040000);
    },
  },
  {
    name: 'symlink loops are ELOOP',
    lowers: [{ a: symlink('b'), b: symlink('a'), self: symlink('self') }],
    async run({ root, at }) {
      expect(await errnoOf(root.open(at('a'), 0))).toBe('ELOOP');
      expect(await errnoOf(root.statFollowed(at('self')))).toBe('ELOOP');
      await root.unlink(at('b'));
      await root.put(at('b'), 'end');
      expect(await root.text(at('a'))).toBe('end');
    },
  },
  {
    name: 'relative symlinks lead over layers',
    lowers: [{ d: { s: symlink('../e/f') } }, { e: { f: 'found' } }],
    async run({ root, at }) {
      expect(await root.text(at('d/s'))).toBe('found');
      await root.put(at('d/s'), 'written');
      expect(await root.text(at('e/f'))).toBe('written');
      expect(await root.readlink(at('d/s'))).toBe('../e/f');
    },
  },
  {
    name: 'a layer whose directory cannot be told from another’s name is its own: equal names on different levels',
    lowers: [
      { d: { d: { d: 'top' } } },
      { d: { d: { e: 'bottom' } }, x: new Item((system, path) => system.symlink('d/d', path)) },
    ],
    async run({ root, at }) {
      expect(await root.names(at('d/d'))).toEqual(['d', 'e']);
      expect(await root.text(at('x/e'))).toBe('bottom');
    },
  },
];

conformance('symlinks in layers', escapes);
