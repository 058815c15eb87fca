import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Ground } from '../support/ground.ts';
import { KERNEL, LAMINA, LAMINA_ROOTLESS, type Layers, type Mounter } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { type System } from '../support/system.ts';
import { type Tree, directory, file, hardlink, makeTree, snapshot, symlink, whiteout } from '../support/tree.ts';

const OLD = 1_000_000_000_123_456_789n;

const TOP: Tree = {
  etc: { passwd: 'root', group: whiteout, 'conf.d': { a: 'a', b: 'b' } },
  bin: { sh: file('binary', { mode: 0o4755, mtime: OLD }), busybox: hardlink('sh') },
  opaque: { shown: 'shown' },
};

const BOTTOM: Tree = {
  etc: { group: 'hidden', hosts: 'hosts', 'conf.d': { c: 'c', d: 'd' } },
  usr: {
    lib: { x: file('x', { xattrs: { 'user.x': 'y' } }), link: symlink('x') },
    share: { doc: { many: {}, one: '1' } },
  },
  opaque: { below: '' },
  tmp: directory({}, { mode: 0o1777 }),
};

/** Changes of every kind that a package manager makes, and a few more. */
async function change(system: System, at: (name: string) => string): Promise<void> {
  await system.put(at('etc/hosts'), 'changed');
  await system.put(at('etc/group'), 'made anew');
  await system.unlink(at('etc/conf.d/c'));
  await system.unlink(at('etc/conf.d/a'));
  await system.put(at('etc/passwd.new'), 'next');
  await system.link(at('etc/passwd'), at('etc/passwd-'));
  await system.rename(at('etc/passwd.new'), at('etc/passwd'));
  await system.unlink(at('usr/share/doc/one'));
  await system.rmdir(at('usr/share/doc/many'));
  await system.rmdir(at('usr/share/doc'));
  await system.mkdir(at('usr/share/doc'));
  await system.put(at('usr/share/doc/two'), '2');
  await system.chmod(at('bin/sh'), 0o755);
  await system.utimens(at('bin'), OLD, OLD);
  await system.setxattr(at('usr/lib/x'), 'user.z', 'w');
  await system.rename(at('usr/lib/link'), at('usr/lib/moved'));
  await system.mkdir(at('var'));
  await system.mkdir(at('var/cache'));
  await system.put(at('var/cache/f'), 'deep');
  await system.rename(at('var'), at('srv'));
  await system.mknod(at('tmp/fifo'), 0o010600);
  await system.chown(at('tmp/fifo'), 5, 6);
  await system.symlink('/absolute', at('tmp/s'));
  await system.truncate(at('etc/conf.d/d'), 0);
  await system.rename(at('usr/lib'), at('lib'));
  await system.put(at('lib/new'), 'n');
  await system.rename(at('etc/conf.d'), at('etc/conf'));
  // A metacopy that leaves an opaque directory, where its data stays.
  await system.chmod(at('opaque/shown'), 0o640);
  await system.rename(at('opaque/shown'), at('shown'));
}

const LAYERS: Layers = { lowers: ['top', 'bottom'], upper: 'upper', work: 'work' };

async function build(ground: Ground, directories: readonly string[]): Promise<Layers> {
  const system = await ground.system();
  await makeTree(system, `${ground.directory}/top`, TOP);
  await makeTree(system, `${ground.directory}/bottom`, BOTTOM);
  const mark = ground.kind === 'root' ? 'trusted.overlay.opaque' : 'user.overlay.opaque';
  await system.setxattr(`${ground.directory}/top/opaque`, mark, 'y');
  for (const name of directories) await system.mkdir(`${ground.directory}/${name}`);
  return { ...LAYERS, cwd: ground.directory };
}

/** Mounts, acts, and unmounts. */
async function within<T>(mounter: Mounter, ground: Ground, layers: Layers, action: () => Promise<T>): Promise<T> {
  const mounted = await mounter.mount(ground, { ...layers, cwd: ground.directory }, `${ground.directory}/merged`);
  try {
    return await action();
  } finally {
    await mounted.unmount();
  }
}

const bothAsRoot = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(bothAsRoot !== undefined)(titled('uppers of lamina and kernel overlayfs', bothAsRoot), () => {
  let ground: Ground;
  let system: System;
  const at = (name: string) => `${ground.directory}/merged/${name}`;
  const seen = () => snapshot(system, `${ground.directory}/merged`);

  beforeEach(async () => {
    ground = await Ground.open('root');
    system = await ground.system();
    await build(ground, ['upper', 'work', 'merged']);
  });
  afterEach(() => ground.close());

  const changeAndSee = async () => {
    await change(system, at);
    return seen();
  };

  test('an upper that lamina wrote shows the same tree under kernel overlayfs', async () => {
    const ours = await within(LAMINA, ground, LAYERS, changeAndSee);
    expect(await within(KERNEL, ground, LAYERS, seen)).toEqual(ours);
  });

  test('an upper that kernel overlayfs wrote shows the same tree under lamina', async () => {
    const theirs = await within(KERNEL, ground, LAYERS, changeAndSee);
    expect(await within(LAMINA, ground, LAYERS, seen)).toEqual(theirs);
  });

  test('an upper goes to and fro, each going on where the other stopped', async () => {
    await within(LAMINA, ground, LAYERS, changeAndSee);
    const theirs = await within(KERNEL, ground, LAYERS, async () => {
      await system.unlink(at('usr/share/doc/two'));
      await system.put(at('etc/conf/c'), 'back');
      await system.rename(at('srv'), at('var'));
      return seen();
    });
    expect(await within(LAMINA, ground, LAYERS, seen)).toEqual(theirs);
  });

  test('the same changes by both make the same tree', async () => {
    const withoutTimes = (lines: readonly string[]) => lines.map((line) => line.replace(/ mtime \d+/, ''));
    const ours = await within(LAMINA, ground, LAYERS, changeAndSee);
    const other = await Ground.open('root');
    try {
      const theirs = await other.system();
      await build(other, ['upper', 'work', 'merged']);
      const tree = await within(KERNEL, other, LAYERS, async () => {
        await change(theirs, (name) => `${other.directory}/merged/${name}`);
        return snapshot(theirs, `${other.directory}/merged`);
      });
      expect(withoutTimes(ours)).toEqual(withoutTimes(tree));
    } finally {
      await other.close();
    }
  });
});

const { missing } = LAMINA_ROOTLESS;

describe.skipIf(missing !== undefined)(titled('uppers of lamina in a user namespace', missing), () => {
  test('show the same tree when they are mounted again, by the same user', async () => {
    const ground = await Ground.open('user namespace');
    try {
      const system = await ground.system();
      await build(ground, ['upper', 'work', 'merged']);
      const seen = () => snapshot(system, `${ground.directory}/merged`);
      const before = await within(LAMINA_ROOTLESS, ground, LAYERS, async () => {
        await system.put(`${ground.directory}/merged/etc/hosts`, 'changed');
        await system.unlink(`${ground.directory}/merged/usr/share/doc/one`);
        await system.rmdir(`${ground.directory}/merged/usr/share/doc/many`);
        await system.rmdir(`${ground.directory}/merged/usr/share/doc`);
        await system.mkdir(`${ground.directory}/merged/usr/share/doc`);
        return seen();
      });
      expect(await within(LAMINA_ROOTLESS, ground, LAYERS, seen)).toEqual(before);
    } finally {
      await ground.close();
    }
  });
});
