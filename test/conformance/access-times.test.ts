import { expect } from 'vitest';
import { type Row, conformance } from './suite.ts';

const OLD = 1_000_000_000_000_000_000n;
const NEWER = OLD + 5n;
const O_RDONLY = 0;
const O_DIRECTORY = 0o200000;

const kept: readonly Row[] = [
  {
    name: 'with noatime, reading changes the atime of no file and no directory, upper ones included',
    lowers: [{ low: 'x', d: { e: 'x' } }],
    async run({ root, at }) {
      await root.put(at('up'), 'x');
      await root.mkdir(at('made'));
      await root.put(at('d/f'), 'x');
      for (const name of ['low', 'up', 'd', 'made']) await root.utimens(at(name), OLD, NEWER);
      await root.text(at('low'));
      await root.text(at('up'));
      for (const name of ['d', 'made']) await root.names(at(name));
      for (const name of ['low', 'up', 'd', 'made']) expect((await root.stat(at(name))).atime).toBe(OLD);
    },
    // Nothing that the kernel had cached is left.
    async after({ root, at }) {
      await root.text(at('low'));
      await root.text(at('up'));
      for (const name of ['d', 'made']) await root.names(at(name));
      for (const name of ['low', 'up', 'd', 'made']) expect((await root.stat(at(name))).atime).toBe(OLD);
    },
  },
];

const changed: readonly Row[] = [
  {
    name: 'with relatime, reading a file of the upper changes its atime where that is older than its mtime, and no ctime',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'x');
      await root.utimens(at('a'), OLD, NEWER);
      const before = await root.stat(at('a'));
      expect(before.atime).toBe(OLD);
      expect(await root.text(at('a'))).toBe('x');
      const after = await root.stat(at('a'));
      expect(after.atime).toBeGreaterThan(NEWER);
      expect(after).toMatchObject({ mtime: before.mtime, ctime: before.ctime });
      await root.text(at('a'));
      expect((await root.stat(at('a'))).atime).toBe(after.atime);
    },
  },
  {
    name: 'with relatime, so does listing a directory of the upper',
    lowers: [{}],
    async run({ root, at }) {
      await root.mkdir(at('d'));
      await root.utimens(at('d'), OLD, NEWER);
      expect((await root.stat(at('d'))).atime).toBe(OLD);
      const fd = await root.open(at('d'), O_RDONLY | O_DIRECTORY);
      expect(await root.names(`/proc/self/fd/${fd}`)).toEqual([]);
      expect((await root.stat(at('d'))).atime).toBeGreaterThan(NEWER);
    },
  },
  {
    name: 'with relatime, reading still leaves the atime of a lower file',
    lowers: [{ low: 'x' }],
    async run({ root, at, lower }) {
      const before = (await root.stat(lower(0, 'low'))).atime;
      await root.text(at('low'));
      expect((await root.stat(at('low'))).atime).toBe(before);
      expect((await root.stat(lower(0, 'low'))).atime).toBe(before);
    },
  },
];

conformance('access times', kept, { options: { kernel: ['noatime'], lamina: ['noatime'] } });
conformance('access times', changed, { options: { kernel: ['relatime'], lamina: ['relatime'] } });
