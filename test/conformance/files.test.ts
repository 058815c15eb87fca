import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { snapshot } from '../support/tree.ts';
import { DATA_MOUNTERS } from '../support/mounters.ts';
import { type Row, conformance } from './suite.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_NOFOLLOW = process.arch === 'arm64' ? 0o100000 : 0o400000;

const rows: readonly Row[] = [
  {
    name: 'a lower file is read at any offset',
    lowers: [{ a: '0123456789' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      expect((await root.pread(fd, 4, 3)).toString()).toBe('3456');
      expect((await root.pread(fd, 100, 8)).toString()).toBe('89');
      expect((await root.pread(fd, 100, 10)).length).toBe(0);
      expect((await root.pread(fd, 100, 1_000)).length).toBe(0);
      await root.close(fd);
    },
  },
  {
    name: 'a file of several MiB reads back as written, lower and upper',
    lowers: [{}],
    async run({ root, at }) {
      const content = Buffer.alloc(3 * 1024 * 1024 + 17);
      for (let index = 0; index < content.length; index += 4) content.writeUInt8((index * 7919) & 0xff, index);
      await root.put(at('a'), content);
      expect((await root.contents(at('a'))).equals(content)).toBe(true);
      expect((await root.stat(at('a'))).size).toBe(content.length);
    },
  },
  {
    name: 'writing into a lower file keeps what is around it, and the lower file',
    lowers: [{ a: '0123456789' }],
    async run({ root, at, lower, upper }) {
      const fd = await root.open(at('a'), O_RDWR);
      await root.pwrite(fd, 'XY', 4);
      expect((await root.pread(fd, 100, 0)).toString()).toBe('0123XY6789');
      await root.close(fd);
      expect(await root.text(at('a'))).toBe('0123XY6789');
      expect(await root.text(upper('a'))).toBe('0123XY6789');
      expect(await root.text(lower(0, 'a'))).toBe('0123456789');
    },
  },
  {
    name: 'writing behind the end leaves zeros between',
    lowers: [{ a: 'ab' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_WRONLY);
      await root.pwrite(fd, 'z', 5);
      await root.close(fd);
      expect(await root.text(at('a'))).toBe('ab\0\0\0z');
    },
  },
  {
    name: 'O_APPEND writes at the end, whatever the offset',
    lowers: [{ a: 'one' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_WRONLY | O_APPEND);
      const other = await root.open(at('a'), O_WRONLY | O_APPEND);
      await root.write(fd, ' two');
      await root.write(other, ' three');
      await root.lseek(fd, 0, 0);
      await root.write(fd, ' four');
      await root.close(fd);
      await root.close(other);
      expect(await root.text(at('a'))).toBe('one two three four');
    },
  },
  {
    name: 'O_TRUNC empties a lower file and leaves the lower as it was',
    lowers: [{ a: 'content' }],
    async run({ root, at, lower }) {
      const fd = await root.open(at('a'), O_WRONLY | O_TRUNC);
      expect((await root.fstat(fd)).size).toBe(0);
      await root.write(fd, 'x');
      await root.close(fd);
      expect(await root.text(at('a'))).toBe('x');
      expect(await root.text(lower(0, 'a'))).toBe('content');
    },
  },
  {
    name: 'O_RDONLY with O_TRUNC empties the file as well',
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      await root.close(await root.open(at('a'), O_RDONLY | O_TRUNC));
      expect((await root.stat(at('a'))).size).toBe(0);
    },
  },
  {
    name: 'O_CREAT without O_EXCL opens what is there',
    lowers: [{ a: 'content' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR | O_CREAT);
      expect((await root.read(fd, 100)).toString()).toBe('content');
      await root.close(fd);
    },
  },
  {
    name: 'O_EXCL refuses a name that a lower or the upper has, and takes one that a whiteout hides',
    lowers: [{ a: '', gone: '' }],
    upper: { b: '' },
    async run({ root, at }) {
      expect(await errnoOf(root.open(at('a'), O_WRONLY | O_CREAT | O_EXCL))).toBe('EEXIST');
      expect(await errnoOf(root.open(at('b'), O_WRONLY | O_CREAT | O_EXCL))).toBe('EEXIST');
      await root.unlink(at('gone'));
      await root.close(await root.open(at('gone'), O_WRONLY | O_CREAT | O_EXCL));
      expect((await root.stat(at('gone'))).size).toBe(0);
    },
  },
  {
    name: 'a directory cannot be opened for writing',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      expect(await errnoOf(root.open(at('d'), O_WRONLY))).toBe('EISDIR');
      expect(await errnoOf(root.open(at('d'), O_RDWR | O_CREAT))).toBe('EISDIR');
      const fd = await root.open(at('d'), O_RDONLY);
      expect(await errnoOf(root.read(fd, 10))).toBe('EISDIR');
      await root.close(fd);
    },
  },
  {
    name: 'O_NOFOLLOW on a symlink is ELOOP',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      await root.symlink('a', at('s'));
      expect(await errnoOf(root.open(at('s'), O_RDONLY | O_NOFOLLOW))).toBe('ELOOP');
      expect(await root.text(at('s'))).toBe('x');
    },
  },
  {
    name: 'truncate makes a lower file shorter and longer',
    lowers: [{ a: '0123456789', b: '0123456789' }],
    async run({ root, at, lower }) {
      await root.truncate(at('a'), 4);
      expect(await root.text(at('a'))).toBe('0123');
      await root.truncate(at('b'), 12);
      expect(await root.text(at('b'))).toBe('0123456789\0\0');
      expect(await root.text(lower(0, 'a'))).toBe('0123456789');
    },
  },
  {
    name: 'truncate shorter and then longer shows zeros, not old bytes',
    lowers: [{ a: '0123456789' }],
    async run({ root, at }) {
      await root.truncate(at('a'), 3);
      await root.truncate(at('a'), 6);
      expect(await root.text(at('a'))).toBe('012\0\0\0');
    },
  },
  {
    name: 'ftruncate on a descriptor opened for reading is EINVAL',
    lowers: [{ a: 'abc' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDONLY);
      expect(await errnoOf(root.ftruncate(fd, 0))).toBe('EINVAL');
      await root.close(fd);
    },
  },
  {
    name: 'truncate of a directory is EISDIR',
    lowers: [{ d: {} }],
    async run({ root, at }) {
      expect(await errnoOf(root.truncate(at('d'), 0))).toBe('EISDIR');
    },
  },
  {
    name: 'two descriptors of one file see each other write',
    lowers: [{ a: 'aaaa' }],
    async run({ root, at }) {
      const reader = await root.open(at('a'), O_RDWR);
      const writer = await root.open(at('a'), O_RDWR);
      await root.pwrite(writer, 'bb', 1);
      expect((await root.pread(reader, 10, 0)).toString()).toBe('abba');
      await root.ftruncate(reader, 2);
      expect((await root.fstat(writer)).size).toBe(2);
      await root.close(reader);
      await root.close(writer);
    },
  },
  {
    name: 'fsync and fdatasync answer 0 on upper, lower and directories',
    lowers: [{ a: 'a', d: {} }],
    async run({ root, at }) {
      await root.put(at('n'), 'new');
      for (const name of ['n', 'a', 'd']) {
        const fd = await root.open(at(name), O_RDONLY);
        expect(await root.fsync(fd)).toBe(0);
        expect(await root.fdatasync(fd)).toBe(0);
        await root.close(fd);
      }
    },
  },
  {
    name: 'statfs tells of the upper filesystem',
    lowers: [{}],
    async run({ root, mountpoint, ground }) {
      const blockSize = 8;
      const blocks = 16;
      const [union, upper] = [await root.statfs(mountpoint), await root.statfs(`${ground.directory}/upper`)];
      expect(union.readBigInt64LE(blocks)).toBe(upper.readBigInt64LE(blocks));
      expect(union.readBigInt64LE(blockSize)).toBe(upper.readBigInt64LE(blockSize));
      expect(union.readBigInt64LE(64)).toBe(255n);
    },
  },
  {
    name: 'what was written is there after a remount, and the lower is untouched',
    lowers: [{ a: 'lower', d: { x: 'x' } }],
    async run({ root, at, lower, remount }) {
      const before = await snapshot(root, lower(0));
      await root.put(at('a'), 'changed');
      await root.put(at('d/new'), 'new');
      await root.unlink(at('d/x'));
      await remount();
      expect(await root.text(at('a'))).toBe('changed');
      expect(await root.names(at('d'))).toEqual(['new']);
      expect(await snapshot(root, lower(0))).toEqual(before);
    },
  },
  {
    name: 'reads and writes of sizes around a page and the largest request come out whole',
    lowers: [{}],
    async run({ root, at }) {
      const sizes = [1, 4095, 4096, 4097, 131_071, 131_073, 1_048_575, 1_048_577];
      for (const size of sizes) {
        const content = Buffer.alloc(size, `${size}-`);
        await root.put(at(`f${size}`), content);
        expect((await root.contents(at(`f${size}`))).equals(content)).toBe(true);
      }
    },
  },
];

conformance('files', rows, { mounters: DATA_MOUNTERS });
