import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DirectoryReaders } from '../../fs/directories-ahead.ts';
import { EXDEV, ELOOP, ENOENT } from '../../fs/sys/errno.ts';
import { PathProbe } from '../../fs/sys/path-probe.ts';
import { type Filesystem, missingFilesystem, mountFilesystem } from '../support/filesystems.ts';
import { Ground } from '../support/ground.ts';
import { LAMINA, type Mounted } from '../support/mounters.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, titled } from '../support/requirements.ts';

const EXT4: Filesystem = { kind: 'ext4', mebibytes: 64 };
const missing = firstMissing(LAMINA.missing, missingFilesystem(EXT4));
/** Of a tree in two layers, and beside it in a single directory. */
const TREE = 1 + 40 + 40 * 4;
const MANY = 900;
const DEEP = 20;
const DIRECTORIES = TREE + 1 + MANY + 1 + DEEP * 3;
/** Of one directory. */
const MOST = 512;

describe.skipIf(missing !== undefined)(titled('looking ahead', missing), () => {
  let ground: Ground;
  let mounted: Mounted;
  const script = (text: string): Promise<string> => ground.must(['sh', '-ec', text]);

  beforeAll(async () => {
    ground = await Ground.open('root');
    await mountFilesystem(ground, 'disk', EXT4);
    await script(`mkdir -p disk/top disk/low/many; cd disk/low/many; seq ${MANY} | xargs mkdir`);
    await script(`cd disk/low; for i in $(seq ${DEEP}); do mkdir -p deep/$i/a/b; echo $i >deep/$i/a/b/f; done`);
    await script('mkdir -p disk/top disk/low; for i in $(seq 40); do mkdir -p disk/top/$i/1 disk/low/$i/1; done');
    await script(
      'for i in $(seq 40); do mkdir disk/low/$i/2 disk/low/$i/3 disk/top/$i/4; echo $i >disk/low/$i/2/f; done',
    );
  });
  afterAll(() => ground.close());

  beforeEach(() => script('mkdir upper work merged'));
  afterEach(async () => {
    await mounted.unmount();
    await script('rm -r upper work merged');
  });

  const mount = async (): Promise<void> => {
    const layers = { lowers: ['disk/top', 'disk/low'], upper: 'upper', work: 'work', cwd: ground.directory };
    mounted = await LAMINA.mount(ground, layers, `${ground.directory}/merged`);
  };
  const find = async (): Promise<string[]> =>
    (await script('cd merged; find . -type d -printf "%p %n\n"')).trim().split('\n');
  const ahead = async (): Promise<number> => {
    const stats = JSON.parse(await script(`node ${DIST}/cli/lamina.js stats --json merged`)) as {
      readonly overlay: Readonly<Record<string, number>>;
    };
    return stats.overlay['directoriesReadAhead'] ?? -1;
  };
  /** Bytes that each thread of the daemon had read from disks. */
  const readByThreads = (): number[] => {
    const tasks = `/proc/${mounted.daemon?.pid ?? ''}/task`;
    const reports = readdirSync(tasks).map((thread) => readFileSync(`${tasks}/${thread}/io`, 'utf8'));
    return reports.map((report) => Number(/^read_bytes: (\d+)$/m.exec(report)?.[1]));
  };

  test('has other threads read the directories of a tree that is listed, each once in each layer', async () => {
    // Nothing of it is in memory.
    await script('umount disk; mount -o loop disk.image disk');
    await mount();
    const before = readByThreads();
    const found = await find();
    expect(found).toHaveLength(DIRECTORIES);
    expect(found).toContain('./40 6');
    expect(await ahead()).toBeGreaterThan(TREE);
    expect(await ahead()).toBeLessThanOrEqual(2 * TREE + 3 * DEEP + MOST);
    const grown = readByThreads().filter((bytes, at) => bytes > (before[at] ?? 0));
    // The session's own among them.
    expect(grown.length).toBeGreaterThan(1);
  });

  test('has nobody read what is in memory', async () => {
    await script('find disk >/dev/null');
    await mount();
    expect(await find()).toHaveLength(DIRECTORIES);
    expect(await ahead()).toBe(0);
  });

  test('has those of layers with an index read for who reads the files in them, and for nobody else', async () => {
    await script(`for layer in top low; do node ${DIST}/cli/lamina.js index disk/$layer; done`);
    await script('umount disk; mount -o loop disk.image disk');
    await mount();
    expect(await find()).toHaveLength(DIRECTORIES);
    expect(await ahead()).toBe(0);
    await mounted.unmount();
    await script('umount disk; mount -o loop disk.image disk');
    await mount();
    await script('tar -cf - merged | cat >/dev/null');
    expect(await ahead()).toBeGreaterThan(0);
  });
});

describe('DirectoryReaders', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lamina-ahead-'));
  const root = openSync(directory, 'r');
  afterAll(() => {
    closeSync(root);
    rmSync(directory, { recursive: true });
  });

  test('go on after what is not there, and stop where they are told', async () => {
    const readers = new DirectoryReaders();
    const names = Array.from({ length: 500 }, (_, at) => `nothing ${at}`);
    readers.read({ layers: [{ root, path: '.' }], names, places: names.map(() => 0) });
    readers.read({ layers: [{ root, path: '.' }], names: ['x'], places: [7] });
    await expect.poll(() => readers.left).toBe(0);
    readers.read({ layers: [{ root, path: '.' }], names, places: names.map(() => 0) });
    readers.stop();
    expect(readers.left).toBe(0);
  });

  test('PathProbe leaves its directory by no way', async () => {
    mkdirSync(join(directory, 'inside'));
    symlinkSync('/etc', join(directory, 'outside'));
    const probe = new PathProbe();
    expect(await probe.look(root, 'inside')).toBe(0);
    expect(await probe.look(root, 'inside/nothing')).toBe(-ENOENT);
    expect(await probe.look(root, 'outside/passwd')).toBe(-ELOOP);
    expect(await probe.look(root, '../etc')).toBe(-EXDEV);
  });
});
