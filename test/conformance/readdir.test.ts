import { expect } from 'vitest';
import { directory, file, symlink, whiteout } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const O_DIRECTORY = 0o200000;
const SEEK_SET = 0;
const MANY = 10_000;

function numbered(count: number, prefix: string): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index}`, '']));
}

const rows: readonly Row[] = [
  {
    name: 'each name comes once, however many layers have it',
    lowers: [
      { a: '1', b: '1' },
      { a: '2', c: '2' },
      { a: '3', d: '3' },
    ],
    upper: { a: '0', e: '0' },
    async run({ root, at }) {
      const names = (await root.list(at())).map(({ name }) => name).sort();
      expect(names).toEqual(['.', '..', 'a', 'b', 'c', 'd', 'e']);
    },
  },
  {
    name: '. and .. come with the numbers that stat gives',
    lowers: [{ d: { x: '' } }, { d: { y: '' } }],
    async run({ root, at }) {
      const listed = await root.list(at('d'));
      const ino = new Map(listed.map((entry) => [entry.name, entry.ino]));
      expect(ino.get('.')).toBe((await root.stat(at('d'))).ino);
      expect(ino.get('..')).toBe((await root.stat(at())).ino);
    },
  },
  {
    name: 'd_ino equals st_ino for every kind of entry',
    lowers: [
      { low: 'l', both: 'b', d: { x: '' }, link: symlink('x') },
      { both: 'c', d: { y: '' }, only: {} },
    ],
    upper: { up: 'u', new: {} },
    async run({ root, at }) {
      const listed = (await root.list(at())).filter(({ name }) => !name.startsWith('.'));
      expect(listed).toHaveLength(7);
      for (const { name, ino } of listed) expect([name, ino]).toEqual([name, (await root.stat(at(name))).ino]);
    },
  },
  {
    name: 'd_ino equals st_ino for a merged directory whose upper tells no origin',
    differs: { kernel: 'overlayfs lists the number of the upper directory and stats that of the lower' },
    lowers: [{ d: {} }],
    upper: { d: { z: '' } },
    async run({ root, at }) {
      const listed = (await root.list(at())).find(({ name }) => name === 'd');
      expect(listed?.ino).toBe((await root.stat(at('d'))).ino);
    },
  },
  {
    name: 'd_ino equals st_ino before anything has been looked up and after a copy-up',
    lowers: [{ a: 'a' }],
    async run({ root, at }) {
      const before = (await root.list(at())).find(({ name }) => name === 'a');
      expect(before?.ino).toBe((await root.stat(at('a'))).ino);
      await root.put(at('a'), 'changed', 0o1);
      const after = (await root.list(at())).find(({ name }) => name === 'a');
      expect(after?.ino).toBe(before?.ino);
      expect((await root.stat(at('a'))).ino).toBe(before?.ino);
    },
  },
  {
    name: 'd_type is the type of the file, or unknown',
    lowers: [{ file: '', link: symlink('x'), d: {} }],
    upper: { other: {} },
    async run({ root, at }) {
      const types = { file: 8, link: 10, d: 4, other: 4 };
      const listed = new Map((await root.list(at())).map((entry) => [entry.name, entry.type]));
      for (const [name, type] of Object.entries(types)) expect([type, 0]).toContain(listed.get(name));
    },
  },
  {
    name: 'whiteouts are not listed, nor what they hide',
    lowers: [
      { a: whiteout, b: '' },
      { a: '', c: '' },
    ],
    upper: { c: whiteout },
    async run({ root, at }) {
      expect(await root.names(at())).toEqual(['b']);
    },
  },
  {
    name: 'a directory of only hidden names lists empty',
    lowers: [{ d: { a: '', b: '' } }],
    async run({ root, at }) {
      await root.unlink(at('d/a'));
      await root.unlink(at('d/b'));
      expect((await root.list(at('d'))).map(({ name }) => name).sort()).toEqual(['.', '..']);
    },
  },
  {
    name: `${MANY} entries in two layers come once each, with small buffers too`,
    lowers: [{ d: {} }, { d: {} }],
    async run({ root, at }) {
      await Promise.all(Array.from({ length: MANY }, (_, index) => root.mknod(at(`d/entry-${index}`), 0o100644)));
      const names = (await root.list(at('d'), 4096)).map(({ name }) => name);
      expect(names).toHaveLength(MANY + 2);
      expect(new Set(names).size).toBe(MANY + 2);
    },
  },
  {
    name: '2,000 entries of a lower merged with 1,000 of an upper, of which some are hidden',
    lowers: [{ d: directory(numbered(1_000, 'low')) }, { d: directory(numbered(2_000, 'low')) }],
    upper: { d: { low0: whiteout, low1999: whiteout, ...numbered(1_000, 'up') } },
    async run({ root, at }) {
      const names = await root.names(at('d'));
      expect(names).toHaveLength(2_998);
      expect(new Set(names).size).toBe(2_998);
      expect(names).not.toContain('low1999');
    },
  },
  {
    name: 'seeking to an offset given before goes on behind that entry',
    lowers: [{ d: numbered(100, 'l') }, { d: numbered(150, 'l') }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_DIRECTORY);
      const all = await root.listOpen(fd, 1024);
      const middle = 60;
      await root.lseek(fd, Number(all[middle]?.next), SEEK_SET);
      const rest = (await root.listOpen(fd)).map(({ name }) => name);
      expect(rest).toEqual(all.slice(middle + 1).map(({ name }) => name));
      await root.close(fd);
    },
  },
  {
    name: 'names that stay are listed once while others come and go',
    lowers: [{ d: numbered(500, 'stay') }, { d: numbered(300, 'go') }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_DIRECTORY);
      const seen: string[] = [];
      let round = 0;
      for (let part = await root.getdents(fd, 2048); part.length > 0; part = await root.getdents(fd, 2048)) {
        seen.push(...part.map(({ name }) => name));
        if (round < 300) await root.unlink(at(`d/go${round}`));
        await root.put(at(`d/new${round}`), '');
        round++;
      }
      await root.close(fd);
      const stay = seen.filter((name) => name.startsWith('stay'));
      expect(stay).toHaveLength(500);
      expect(new Set(stay).size).toBe(500);
      expect(new Set(seen).size).toBe(seen.length);
    },
  },
  {
    name: 'rewinding a directory shows what was made and removed since',
    lowers: [{ d: { a: '', b: '' } }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_DIRECTORY);
      await root.listOpen(fd);
      await root.put(at('d/c'), '');
      await root.unlink(at('d/a'));
      await root.lseek(fd, 0, SEEK_SET);
      const names = (await root.listOpen(fd)).map(({ name }) => name).sort();
      expect(names).toEqual(['.', '..', 'b', 'c']);
      await root.close(fd);
    },
  },
  {
    name: 'a listing after each change is that of the change',
    lowers: [{ d: { a: '', sub: {} } }],
    async run({ root, at }) {
      expect(await root.names(at('d'))).toEqual(['a', 'sub']);
      await root.mkdir(at('d/n'));
      expect(await root.names(at('d'))).toEqual(['a', 'n', 'sub']);
      await root.rename(at('d/a'), at('d/z'));
      expect(await root.names(at('d'))).toEqual(['n', 'sub', 'z']);
      await root.rmdir(at('d/sub'));
      await root.symlink('x', at('d/s'));
      expect(await root.names(at('d'))).toEqual(['n', 's', 'z']);
      await root.link(at('d/z'), at('d/y'));
      expect(await root.names(at('d'))).toEqual(['n', 's', 'y', 'z']);
    },
  },
  {
    name: 'a removed directory that is still open lists as empty',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      const fd = await root.open(at('d'), O_DIRECTORY);
      await root.rmdir(at('d'));
      // The kernel itself refuses to list a dead directory of any filesystem.
      await expect(root.getdents(fd)).rejects.toMatchObject({ code: 'ENOENT' });
      expect((await root.fstat(fd)).mode & 0o170000).toBe(0o040000);
      await root.close(fd);
    },
  },
  {
    name: 'link counts: a directory made has 2, files have as many as names',
    lowers: [{ a: file('x') }],
    async run({ root, at }) {
      await root.mkdir(at('n'));
      await root.put(at('f'), '');
      await root.link(at('f'), at('g'));
      // Overlayfs gives 1 for merged directories and the real count for others.
      expect([1, 2]).toContain((await root.stat(at('n'))).nlink);
      expect((await root.stat(at('f'))).nlink).toBe(2);
      expect((await root.stat(at('a'))).nlink).toBe(1);
    },
  },
];

conformance('readdir', rows);
