import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Ground } from '../support/ground.ts';
import { FUSE_OVERLAYFS, LAMINA, type Layers, type Mounter } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { type System } from '../support/system.ts';
import { type Tree, directory, file, makeTree, snapshot, symlink } from '../support/tree.ts';

const missing = firstMissing(LAMINA.missing, FUSE_OVERLAYFS.missing);

// What fuse-overlayfs 1.10 can do: it makes no device, fifo or symlink with xattr_permissions=1, reads no types, forgets the
// owner at a chmod, makes files 0755 and more, shows its own records, and knows form 2 by its older name alone.
const LOWER: Tree = {
  etc: { passwd: 'root', shadow: file('secret', { mode: 0o640, gid: 42 }), gone: '' },
  bin: directory({ sh: file('binary', { mode: 0o4755 }) }, { uid: 3, gid: 4, mode: 0o2775 }),
  link: symlink('bin'),
};

async function change(system: System, at: (name: string) => string): Promise<void> {
  await system.chmod(at('etc/passwd'), 0o604);
  await system.chown(at('etc/passwd'), 12, 34);
  await system.chmod(at('bin/sh'), 0o2711);
  await system.put(at('new'), 'n', 0o1101, 0o600);
  await system.chown(at('new'), 1000, 1001);
  await system.mkdir(at('made'), 0o700);
  await system.chmod(at('made'), 0o3770);
  await system.chown(at('made'), 7, 8);
  await system.put(at('made/x'), 'x');
  await system.unlink(at('etc/gone'));
  await system.rename(at('new'), at('made/new'));
  await system.chown(at('bin'), 5, 6);
}

const RECORDS = {
  1: ['security.fuseoverlayfs.override_stat'],
  2: ['user.fuseoverlayfs.override_stat'],
} as const;

describe.skipIf(missing !== undefined)(titled('records of lamina and fuse-overlayfs', missing), () => {
  let ground: Ground;
  let system: System;
  const at = (name: string) => `${ground.directory}/merged/${name}`;

  beforeEach(async () => {
    ground = await Ground.open('root');
    system = await ground.system();
    await makeTree(system, `${ground.directory}/lower`, LOWER);
    for (const name of ['upper', 'work', 'merged']) await system.mkdir(`${ground.directory}/${name}`);
  });
  afterEach(() => ground.close());

  async function within<T>(mounter: Mounter, options: readonly string[], action: () => Promise<T>): Promise<T> {
    const layers: Layers = { lowers: ['lower'], upper: 'upper', work: 'work', options, cwd: ground.directory };
    const mounted = await mounter.mount(ground, layers, `${ground.directory}/merged`);
    try {
      return await action();
    } finally {
      await mounted.unmount();
    }
  }

  const seen = () => snapshot(system, `${ground.directory}/merged`, { links: false, xattrs: false });
  const changeAndSee = async () => {
    await change(system, at);
    return seen();
  };
  const owners = (lines: readonly string[]) => lines.map((line) => line.split(' ').slice(0, 3).join(' '));

  const OWNERS = [
    'bin 42775 5:6',
    'bin/sh 102711 0:0',
    'etc 40755 0:0',
    'etc/passwd 100604 12:34',
    'etc/shadow 100640 0:42',
    'made 43770 7:8',
  ];

  const CASES = ([1, 2] as const).flatMap((form) => RECORDS[form].map((record) => [form, record] as const));

  test.each(CASES)('xattr_permissions=%i, %s: lamina shows what fuse-overlayfs wrote', async (form, record) => {
    // The root's record tells which of the two names of form 2 it is.
    await system.setxattr(`${ground.directory}/upper`, record, '0:0:0755');
    const options = [`xattr_permissions=${form}`];
    await within(FUSE_OVERLAYFS, options, () => change(system, at));
    // By a mount of its own: with its writeback cache the first shows the times before the data is written.
    const theirs = await within(FUSE_OVERLAYFS, options, seen);
    expect(await system.getxattr(`${ground.directory}/upper/etc/passwd`, record)).toMatch(/^12:34:/);
    const ours = await within(LAMINA, options, seen);
    expect(ours).toEqual(theirs);
    expect(owners(ours)).toEqual(expect.arrayContaining(OWNERS));
  });

  test.each(CASES)('xattr_permissions=%i, %s: fuse-overlayfs shows what lamina wrote', async (form, record) => {
    await system.setxattr(`${ground.directory}/upper`, record, '0:0:0755');
    const options = [`xattr_permissions=${form}`];
    const ours = await within(LAMINA, [...options, 'metacopy=off'], changeAndSee);
    expect(await system.getxattr(`${ground.directory}/upper/etc/passwd`, record)).toMatch(/^12:34:/);
    expect(owners(ours)).toEqual(expect.arrayContaining(OWNERS));
    expect(await within(FUSE_OVERLAYFS, options, seen)).toEqual(ours);
  });

  test.each([
    [1, 'security.fuseoverlayfs.override_stat'],
    [2, 'user.containers.override_stat'],
  ] as const)('xattr_permissions=%i: an upper is made one with %s, its root as it was', async (form, record) => {
    await system.chmod(`${ground.directory}/upper`, 0o751);
    await within(LAMINA, [`xattr_permissions=${form}`], async () => {
      expect((await system.stat(at('.'))).mode & 0o7777).toBe(0o751);
    });
    expect(await system.getxattr(`${ground.directory}/upper`, record)).toBe('0:0:0751:dir');
  });

  test('the root of the union gets the record of the topmost lower root that has one', async () => {
    await system.setxattr(`${ground.directory}/lower`, 'user.containers.override_stat', '3:4:0711');
    await within(LAMINA, ['xattr_permissions=2'], async () => {
      expect(await system.stat(at('.'))).toMatchObject({ uid: 3, gid: 4, mode: 0o40711 });
    });
  });

  const ONE = { uid: 9, gid: 9, mode: 0o104755 };
  const REAL = { uid: 0, gid: 0, mode: 0o100644 };

  test.each([
    ['security.fuseoverlayfs.override_stat', [], ONE],
    ['security.fuseoverlayfs.override_stat', ['xattr_permissions=0'], REAL],
    ['user.containers.override_stat', ['xattr_permissions=2'], ONE],
    // Everyone who owns a file could have written it.
    ['user.containers.override_stat', [], REAL],
  ] as const)('a lower root with %s, mounted by root with "%s"', async (record, options, shown) => {
    await system.setxattr(`${ground.directory}/lower`, record, '0:0:0755');
    await system.setxattr(`${ground.directory}/lower/etc/passwd`, record, '9:9:4755');
    await within(LAMINA, options, async () => {
      expect(await system.stat(at('etc/passwd'))).toMatchObject(shown);
    });
  });

  test('xattr_permissions=1 reads a lower of the other form by the record on its root', async () => {
    await system.setxattr(`${ground.directory}/lower`, 'user.fuseoverlayfs.override_stat', '0:0:0755');
    await system.setxattr(`${ground.directory}/lower/etc/passwd`, 'user.fuseoverlayfs.override_stat', '9:9:4755');
    await within(LAMINA, ['xattr_permissions=1'], async () => {
      await system.chmod(at('etc/passwd'), 0o600);
    });
    const record = await system.getxattr(
      `${ground.directory}/upper/etc/passwd`,
      'security.fuseoverlayfs.override_stat',
    );
    expect(record).toBe('9:9:0600:file');
  });

  test('ids in records are those on disk, which uidmapping and gidmapping map', async () => {
    await system.setxattr(
      `${ground.directory}/lower/etc/passwd`,
      'user.containers.override_stat',
      '100009:200009:0644',
    );
    const mapping = ['uidmapping=100000:0:65536', 'gidmapping=200000:0:65536', 'xattr_permissions=2'];
    await within(LAMINA, mapping, async () => {
      expect(await system.stat(at('etc/passwd'))).toMatchObject({ uid: 9, gid: 9 });
      await system.chown(at('etc/passwd'), 5, -1);
      await system.put(at('new'), '');
    });
    const record = (name: string) =>
      system.getxattr(`${ground.directory}/upper/${name}`, 'user.containers.override_stat');
    expect(await record('etc/passwd')).toBe('100005:200009:0644:file');
    expect(await record('new')).toBe('100000:200000:0644:file');
  });
});
