import { expect } from 'vitest';
import { errnoOf } from '../support/agent.ts';
import { type Ground } from '../support/ground.ts';
import { FEW_MOUNTERS } from '../support/mounters.ts';
import { type Listed } from '../support/structures.ts';
import { type Path, type System } from '../support/system.ts';
import { type Row, conformance } from './suite.ts';

// Directories of very many entries: 100,000, or as many as LAMINA_ENTRIES says: a million take minutes, and longer
// limits by --testTimeout and --hookTimeout.

const ENTRIES = Number(process.env['LAMINA_ENTRIES'] ?? 100_000);
const SHARED = 100;
const UPPER = 50;
const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
const BUFFER = 1 << 20;

// A filesystem allows a file 65,000 names or so: each 30,000 entries are those of one.
const LINK_ALL = `my ($first, $last) = @ARGV;
for my $n ($first .. $last) {
  if ($n % 30000 == 0 || !defined $base) { $base = "e$n"; open my $f, ">", $base or die "$base: $!"; }
  else { link $base, "e$n" or die "e$n: $!"; }
}`;

/** Entries `e<first>` to `e<last>` in a directory that is there. */
async function fill(ground: Ground, path: Path, first: number, last: number): Promise<void> {
  await ground.must(['perl', '-e', LINK_ALL, String(first), String(last)], path);
}

/** All entries of a directory, with one buffer after the other. */
async function listed(root: System, path: Path): Promise<Listed[]> {
  return (await root.list(path, BUFFER)).filter(({ name }) => name !== '.' && name !== '..');
}

const rows: readonly Row[] = [
  {
    name: `${ENTRIES} entries over two lowers and the upper are listed once each, found, changed, hidden and removed`,
    lowers: [{ d: {} }, { d: {} }],
    upper: { d: {} },
    async run({ root, at, lower, upper, ground, unmounted }) {
      const half = ENTRIES / 2;
      await unmounted(async () => {
        await fill(ground, lower(0, 'd'), 0, half + SHARED - 1);
        await fill(ground, lower(1, 'd'), half, ENTRIES - 1);
        await fill(ground, upper('d'), ENTRIES, ENTRIES + UPPER - 1);
      });
      const names = new Set((await listed(root, at('d'))).map(({ name }) => name));
      expect(names.size).toBe(ENTRIES + UPPER);
      for (const entry of [0, half - 1, half, ENTRIES - 1, ENTRIES]) expect(names.has(`e${entry}`)).toBe(true);
      await root.unlink(at('d/e0'));
      await root.unlink(at(`d/e${ENTRIES - 1}`));
      await root.put(at('d/new'), 'new');
      await root.put(at('d/e7'), 'changed');
      await root.rename(at('d/e8'), at('d/renamed'));
      const after = (await listed(root, at('d'))).map(({ name }) => name);
      expect(after).toHaveLength(ENTRIES + UPPER - 1);
      expect(new Set(after).size).toBe(after.length);
      expect(await root.text(at('d/e7'))).toBe('changed');
      expect(await errnoOf(root.stat(at('d/e0')))).toBe('ENOENT');
      expect(await errnoOf(root.rmdir(at('d')))).toBe('ENOTEMPTY');
    },
    async after({ root, at }) {
      const names = new Set((await listed(root, at('d'))).map(({ name }) => name));
      expect(names.size).toBe(ENTRIES + UPPER - 1);
      for (const gone of ['e0', `e${ENTRIES - 1}`, 'e8']) expect(names.has(gone)).toBe(false);
      for (const there of ['new', 'renamed', 'e7']) expect(names.has(there)).toBe(true);
    },
  },
  {
    name: 'seekdir to any place of a large merged directory goes on behind it, while entries come and go',
    lowers: [{ d: {} }, { d: {} }],
    async run({ root, at, lower, ground, unmounted }) {
      const count = 5_000;
      await unmounted(async () => {
        await fill(ground, lower(0, 'd'), 0, count / 2);
        await fill(ground, lower(1, 'd'), count / 2, count - 1);
      });
      const fd = await root.open(at('d'), O_DIRECTORY);
      const all = await root.listOpen(fd, 4096);
      expect(all).toHaveLength(count + 2);
      for (const place of [0, 1, 2, 700, count / 2, count, count + 1]) {
        await root.lseek(fd, Number(all[place]?.next), 0);
        const [next] = await root.getdents(fd, 4096);
        expect([place, next?.name]).toEqual([place, all[place + 1]?.name]);
      }
      await root.lseek(fd, Number(all[3_000]?.next), 0);
      for (let entry = 0; entry < 100; entry++) await root.unlink(at(`d/${all[entry * 20 + 10]?.name}`));
      await root.put(at('d/new'), '');
      const rest = new Set((await root.listOpen(fd, 4096)).map(({ name }) => name));
      for (const { name } of all.slice(3_001)) expect(rest.has(name)).toBe(true);
      for (const { name } of all.slice(0, 3_001)) expect(rest.has(name)).toBe(false);
    },
  },
];

conformance('directories of very many entries', rows, { mounters: FEW_MOUNTERS });
