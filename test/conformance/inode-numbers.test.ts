import { expect } from 'vitest';
import { type System, type Path } from '../support/system.ts';
import { type Tree, hardlink } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

// Layers on several filesystems, whose inode numbers overlap.

/** Numbers of new files follow each other, from the same start or nearly so on each filesystem. */
function crowd(layer: string): Tree {
  return Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`${layer}-${index}`, layer]));
}

/** st_ino of every file below a directory, by path; each is held against d_ino. */
async function inodeNumbers(root: System, top: Path): Promise<Map<string, bigint>> {
  const numbers = new Map<string, bigint>();
  const walk = async (path: Path): Promise<void> => {
    for (const { name, ino } of await root.list(path)) {
      if (name === '.' || name === '..') continue;
      const status = await root.stat(`${path}/${name}`);
      expect([name, ino]).toEqual([name, status.ino]);
      numbers.set(`${path}/${name}`.slice(top.length), status.ino);
      if ((status.mode & 0o170000) === 0o040000) await walk(`${path}/${name}`);
    }
  };
  await walk(top);
  return numbers;
}

/** What a row found, for what follows once the union is mounted anew. */
const found = new Map<string, Map<string, bigint>>();

const rows: readonly Row[] = [
  {
    name: 'inode numbers are unique over all layers, hold over copy-up and remount, and are those of readdir',
    lowers: [crowd('a'), crowd('b'), crowd('c')].map((files) => ({ d: files, ...files })),
    async run({ root, at, ground }) {
      await root.put(at('new'), 'of the upper');
      const before = await inodeNumbers(root, at());
      expect(new Set(before.values()).size).toBe(before.size);
      for (const layer of ['a', 'b', 'c']) {
        await root.put(at(`${layer}-3`), 'copied up', 1);
        await root.chmod(at(`d/${layer}-4`), 0o600);
        await root.rename(at(`d/${layer}-5`), at(`${layer}-moved`));
        before.set(`/${layer}-moved`, before.get(`/d/${layer}-5`) ?? 0n);
        before.delete(`/d/${layer}-5`);
      }
      const after = await inodeNumbers(root, at());
      expect([...after].sort()).toEqual([...before].sort());
      found.set(ground.directory, before);
    },
    async after({ root, at, ground }) {
      const before = found.get(ground.directory) ?? new Map<string, bigint>();
      expect([...(await inodeNumbers(root, at()))].sort()).toEqual([...before].sort());
    },
  },
  {
    name: 'hard links of lower files on each filesystem stay one file when they are changed',
    lowers: ['a', 'b', 'c'].map((layer) => ({ [layer]: layer, [`${layer}2`]: hardlink(layer) })),
    async run({ root, at }) {
      for (const layer of ['a', 'b', 'c']) await root.put(at(layer), 'new', 0x401);
    },
    async after({ root, at }) {
      for (const layer of ['a', 'b', 'c']) {
        expect(await root.text(at(`${layer}2`))).toBe(`${layer}new`);
        const [one, other] = [await root.stat(at(layer)), await root.stat(at(`${layer}2`))];
        expect([one.ino, one.nlink]).toEqual([other.ino, 2]);
      }
    },
  },
];

conformance('inode numbers over tmpfs, ext4 and xfs', rows, {
  lowers: 3,
  filesystems: {
    lowers: [
      { kind: 'tmpfs', mebibytes: 16 },
      { kind: 'ext4', mebibytes: 32 },
      { kind: 'xfs', mebibytes: 300 },
    ],
  },
});
