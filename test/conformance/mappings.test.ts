import { once } from 'node:events';
import { expect } from 'vitest';
import { LIMITS } from '../../fs/libfuse/limits.ts';
import { errnoOf } from '../support/agent.ts';
import { hardlink } from '../support/tree.ts';
import { type Row, conformance, dropCaches } from './suite.ts';

// Mappings beside read(2), write(2) and truncate(2), and programs that run; see file-api.test.ts for the first of them.

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const PAGE = 4096;

const rows: readonly Row[] = [
  {
    name: 'what is stored in a MAP_SHARED mapping is read by another process at once, without msync',
    lowers: [{ a: 'x'.repeat(2 * PAGE) }],
    async run({ root, at, another }) {
      const other = await another();
      const fd = await root.open(at('a'), O_RDWR);
      const address = await root.mmap(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.poke(address + BigInt(PAGE - 2), 'over the page');
      expect((await other.text(at('a'))).slice(PAGE - 4, PAGE + 13)).toBe('xxover the pagexx');
      const theirs = await other.open(at('a'), O_RDWR);
      await other.pwrite(theirs, 'theirs', 0);
      expect(await root.peek(address, 8)).toBe('theirsxx');
      await root.munmap(address, 2 * PAGE);
    },
  },
  {
    name: 'what is stored in a mapping is kept by munmap and close alone, over a remount',
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at, remount }) {
      const fd = await root.open(at('a'), O_RDWR);
      const address = await root.mmap(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.close(fd);
      await root.poke(address, 'kept');
      await root.munmap(address, PAGE);
      await remount();
      expect((await root.text(at('a'))).slice(0, 6)).toBe('keptxx');
    },
  },
  {
    name: 'a file cut short and made longer again shows zeros in a mapping of it, not old bytes',
    lowers: [{ a: 'x'.repeat(PAGE) }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      const address = await root.mmap(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.poke(address + 100n, 'beyond');
      await root.ftruncate(fd, 10);
      await root.ftruncate(fd, PAGE);
      expect(await root.peek(address + 8n, 4)).toBe('xx\0\0');
      expect(await root.peek(address + 100n, 6)).toBe('\0'.repeat(6));
      await root.munmap(address, PAGE);
    },
  },
  {
    name: 'what is stored behind the end within the last page does not come into the file',
    lowers: [{ a: 'short' }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      const address = await root.mmap(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.poke(address + 10n, 'behind');
      await root.msync(address, PAGE);
      expect((await root.fstat(fd)).size).toBe(5);
      await root.pwrite(fd, '!', 20);
      expect(await root.text(at('a'))).toBe(`short${'\0'.repeat(15)}!`);
      await root.munmap(address, PAGE);
    },
  },
  {
    name: 'mappings through two names of a lower file with hard links are one',
    differs: { 'fuse-native': LIMITS.hardLinks },
    lowers: [{ a: 'x'.repeat(PAGE), b: hardlink('a') }],
    async run({ root, at }) {
      const [one, other] = [await root.open(at('a'), O_RDWR), await root.open(at('b'), O_RDWR)];
      const mine = await root.mmap(one, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
      const theirs = await root.mmap(other, PAGE, PROT_READ, MAP_SHARED);
      await root.poke(mine, 'both');
      expect(await root.peek(theirs, 5)).toBe('bothx');
      for (const address of [mine, theirs]) await root.munmap(address, PAGE);
    },
  },
  {
    name: 'a private mapping of a file shows what is written to the file until it is stored in itself',
    lowers: [{}],
    async run({ root, at }) {
      await root.put(at('a'), 'x'.repeat(PAGE));
      const fd = await root.open(at('a'), O_RDWR);
      const address = await root.mmap(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
      await root.pwrite(fd, 'file', 0);
      expect(await root.peek(address, 5)).toBe('filex');
      await root.poke(address, 'mine');
      await root.pwrite(fd, 'next', 0);
      expect(await root.peek(address, 5)).toBe('minex');
      await root.munmap(address, PAGE);
    },
  },
  {
    name: 'a mapping that is written survives that all caches are dropped',
    needs: ['drop caches'],
    lowers: [{ a: 'x'.repeat(4 * PAGE) }],
    async run({ root, at }) {
      const fd = await root.open(at('a'), O_RDWR);
      const address = await root.mmap(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
      await root.poke(address + BigInt(2 * PAGE), 'stored');
      await root.msync(address, 4 * PAGE);
      await root.munmap(address, 4 * PAGE);
      dropCaches();
      expect((await root.text(at('a'))).slice(2 * PAGE - 1, 2 * PAGE + 7)).toBe('xstoredx');
    },
  },
  {
    name: 'a mapping needs a descriptor that may do as much: EACCES',
    lowers: [{ a: 'x' }],
    async run({ root, at }) {
      const reader = await root.open(at('a'), O_RDONLY);
      await expect(root.mmap(reader, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED)).rejects.toThrow('errno 13');
      const writer = await root.open(at('a'), O_WRONLY);
      await expect(root.mmap(writer, PAGE, PROT_READ, MAP_SHARED)).rejects.toThrow('errno 13');
    },
  },
];

const programs: readonly Row[] = [
  {
    name: 'a program of a lower layer runs; while it does, it is ETXTBSY to write and may be replaced by rename',
    lowers: [{ d: {} }],
    async run({ root, at, lower, ground, unmounted }) {
      await unmounted(async () => {
        await ground.must(['cp', '/bin/sh', lower(0, 'program')]);
      });
      const program = ground.spawn([at('program'), '-c', 'echo runs; while :; do sleep 1; done']);
      try {
        if (program.stdout !== null) await once(program.stdout, 'data');
        expect(await errnoOf(root.open(at('program'), O_RDWR))).toBe('ETXTBSY');
        expect(await errnoOf(root.truncate(at('program'), 0))).toBe('ETXTBSY');
        await root.put(at('next'), 'next');
        await root.rename(at('next'), at('program'));
        expect(await root.text(at('program'))).toBe('next');
        expect(program.exitCode).toBe(null);
      } finally {
        program.kill('SIGKILL');
        await once(program, 'close');
      }
    },
  },
  {
    name: 'a program that is open for writing is not run: ETXTBSY; closed, it is',
    lowers: [{ d: {} }],
    async run({ root, at, lower, ground, unmounted }) {
      await unmounted(async () => {
        await ground.must(['cp', '/bin/true', lower(0, 'program')]);
      });
      const fd = await root.open(at('program'), O_RDWR);
      expect(await ground.run([at('program')])).toMatchObject({ code: 126 });
      await root.close(fd);
      expect(await ground.run([at('program')])).toMatchObject({ code: 0 });
    },
  },
];

conformance('mappings', [...rows, ...programs]);
