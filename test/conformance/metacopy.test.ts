import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type System } from '../support/system.ts';
import { directory, file, hardlink, snapshot } from '../support/tree.ts';
import { type Row, conformance } from './suite.ts';

const O_RDONLY = 0;
const O_RDWR = 2;
const O_TRUNC = 0o1000;
const OLD = 1_000_000_000_123_456_789n;
const BIG = 'x'.repeat(1024 * 1024);

/** Bytes that a file takes on disk. */
async function usage(root: System, path: string): Promise<number> {
  return (await root.stat(path)).blocks * 512;
}

type Change = readonly [name: string, change: (root: System, path: string) => Promise<unknown>];

const CHANGES: readonly Change[] = [
  ['chmod', (root, path) => root.chmod(path, 0o600)],
  ['chown', (root, path) => root.chown(path, 0, 0)],
  ['utimens', (root, path) => root.utimens(path, OLD, OLD)],
  ['setxattr', (root, path) => root.setxattr(path, 'user.x', 'y')],
];

const OTHERS: readonly Change[] = [
  ['link', (root, path) => root.link(path, `${path}-2`)],
  ['rename', (root, path) => root.rename(path, `${path}-2`)],
];

const sparing: readonly Row[] = [
  ...CHANGES.map(([name, change]): Row => ({
    name: `${name} of a lower file of 1 MiB copies none of its data`,
    lowers: [{ a: BIG }],
    async run({ root, at, upper }) {
      await change(root, at('a'));
      expect(await usage(root, upper('a'))).toBeLessThan(65_536);
      expect(await root.stat(at('a'))).toMatchObject({ size: BIG.length });
      expect(await usage(root, at('a'))).toBeGreaterThanOrEqual(BIG.length);
      expect(await root.text(at('a'))).toBe(BIG);
    },
    async after({ root, at }) {
      expect(await root.text(at('a'))).toBe(BIG);
    },
  })),
  ...OTHERS.map(([name, change]): Row => ({
    name: `${name} of a lower file of 1 MiB copies none of its data`,
    lowers: [{ d: { a: BIG } }],
    async run({ root, at, upper }) {
      await change(root, at('d/a'));
      expect(await usage(root, upper('d/a-2'))).toBeLessThan(65_536);
    },
    async after({ root, at }) {
      expect(await root.text(at('d/a-2'))).toBe(BIG);
    },
  })),
  {
    name: 'a metacopy is completed when it is written, and truncated, once',
    lowers: [{ a: BIG, b: BIG, c: BIG }],
    async run({ root, at, upper }) {
      for (const name of ['a', 'b', 'c']) await root.chmod(at(name), 0o600);
      const fd = await root.open(at('a'), O_RDWR);
      await root.pwrite(fd, 'y', 10);
      await root.close(fd);
      await root.truncate(at('b'), 5);
      await root.close(await root.open(at('c'), O_RDWR | O_TRUNC));
      expect(await usage(root, upper('a'))).toBeGreaterThanOrEqual(BIG.length);
    },
    async after({ root, at }) {
      expect(await root.text(at('a'))).toBe(`xxxxxxxxxxy${BIG.slice(11)}`);
      expect(await root.text(at('b'))).toBe('xxxxx');
      expect(await root.text(at('c'))).toBe('');
      for (const name of ['a', 'b', 'c']) expect((await root.stat(at(name))).mode).toBe(0o100600);
    },
  },
  {
    name: 'a metacopy keeps mtime, suid, xattrs and number when it is completed',
    differs: { kernel: 'overlayfs gives it the time of its completion' },
    lowers: [{ a: file('content', { mode: 0o4711, mtime: OLD, xattrs: { 'user.x': 'y' } }) }],
    async run({ root, at }) {
      const { ino } = await root.stat(at('a'));
      await root.setxattr(at('a'), 'user.z', 'w');
      await root.close(await root.open(at('a'), O_RDWR));
      expect(await root.stat(at('a'))).toMatchObject({ ino, mode: 0o104711, mtime: OLD, size: 7 });
      expect(await root.listxattr(at('a'))).toEqual(['user.x', 'user.z']);
    },
    async after({ root, at }) {
      expect(await root.stat(at('a'))).toMatchObject({ mode: 0o104711, mtime: OLD, size: 7 });
      expect(await root.text(at('a'))).toBe('content');
    },
  },
];

const moved: readonly Row[] = [
  {
    name: 'a metacopy is renamed, linked and replaced, and each name has the content that it should',
    lowers: [{ a: 'a', b: 'b', d: {} }],
    async run({ root, at }) {
      await root.chmod(at('a'), 0o600);
      await root.chmod(at('b'), 0o640);
      await root.rename(at('a'), at('d/a'));
      await root.link(at('d/a'), at('d/a2'));
      await root.rename(at('b'), at('a'));
      await root.put(at('b'), 'new');
    },
    async after({ root, at }) {
      const names = ['d/a', 'd/a2', 'a', 'b'];
      expect(await Promise.all(names.map((name) => root.text(at(name))))).toEqual(['a', 'a', 'b', 'new']);
      expect((await root.stat(at('d/a'))).nlink).toBe(2);
    },
  },
  {
    name: 'a metacopy of one name of a lower file with several is one with the others',
    lowers: [{ a: 'one', b: hardlink('a') }],
    async run({ root, at }) {
      await root.chmod(at('a'), 0o600);
      expect((await root.stat(at('b'))).mode).toBe(0o100600);
      await root.rename(at('a'), at('c'));
    },
    async after({ root, at }) {
      for (const name of ['b', 'c']) expect(await root.text(at(name))).toBe('one');
      await root.put(at('b'), 'two');
      expect(await root.text(at('c'))).toBe('two');
      expect((await root.stat(at('c'))).nlink).toBe(2);
    },
  },
  {
    name: 'a metacopy of a file in the third layer, below directories that the others have',
    lowers: [{ d: { top: '' } }, { d: { e: {} } }, { d: { e: { f: 'bottom' } } }],
    async run({ root, at, lower }) {
      const before = await snapshot(root, lower(2));
      await root.chmod(at('d/e/f'), 0o600);
      await root.rename(at('d/e'), at('e'));
      expect(await snapshot(root, lower(2))).toEqual(before);
    },
    async after({ root, at }) {
      expect(await root.text(at('e/f'))).toBe('bottom');
    },
  },
  {
    name: 'a metacopy is unlinked while it is open, and read and changed on',
    // Overlayfs cannot complete a metacopy that has no name, so only what the read-only descriptor has is asked for.
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      await root.chmod(at('a'), 0o600);
      const fd = await root.open(at('a'), O_RDONLY);
      await root.unlink(at('a'));
      expect((await root.pread(fd, 100, 0)).toString()).toBe('content');
      expect(await root.fstat(fd)).toMatchObject({ mode: 0o100600, size: 7, nlink: 0 });
      await root.fchmod(fd, 0o640);
      expect((await root.fstat(fd)).mode).toBe(0o100640);
    },
  },
  {
    name: 'a descriptor from before the metacopy sees what is written after it was completed',
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      await root.chmod(at('a'), 0o600);
      expect((await root.pread(fd, 100, 0)).toString()).toBe('content');
      await root.put(at('a'), 'other');
      expect((await root.pread(fd, 100, 0)).toString()).toBe('other');
      expect((await root.fstat(fd)).size).toBe(5);
    },
  },
  {
    name: 'a whole tree is given to another, as chown -R does, with no data copied',
    needs: ['many ids'],
    lowers: [{ t: { a: BIG, s: { b: BIG, c: directory({ d: BIG }) } } }],
    async run({ root, at, upper }) {
      for (const name of ['t', 't/a', 't/s', 't/s/b', 't/s/c', 't/s/c/d']) await root.chown(at(name), 12, 34);
      for (const name of ['t/a', 't/s/b', 't/s/c/d']) expect(await usage(root, upper(name))).toBeLessThan(65_536);
    },
    async after({ root, at }) {
      for (const name of ['t/a', 't/s/b', 't/s/c/d']) {
        expect(await root.stat(at(name))).toMatchObject({ uid: 12, gid: 34, size: BIG.length });
        expect(await root.text(at(name))).toBe(BIG);
      }
    },
  },
  {
    name: 'the marks of a metacopy are neither shown nor read',
    lowers: [{ a: 'x' }],
    async run({ root, at, ground }) {
      await root.chmod(at('a'), 0o600);
      await root.rename(at('a'), at('b'));
      expect(await root.listxattr(at('b'))).toEqual([]);
      const prefix = ground.kind === 'root' ? 'trusted' : 'user';
      for (const mark of ['metacopy', 'redirect', 'origin'])
        expect(await errnoOf(root.getxattr(at('b'), `${prefix}.overlay.${mark}`))).toBe('ENODATA');
    },
  },
];

conformance('metacopy', [...sparing, ...moved], { options: { lamina: ['metacopy=on'] } });
