import { readdirSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toBytes } from '../../fs/sys/bytes.ts';
import { Ground } from '../support/ground.ts';
import { KERNEL, LAMINA, type Mounter } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { type Tree, hardlink } from '../support/tree.ts';
import { type Damage, expectMended } from './expect-mended.ts';
import { Site, told } from './site.ts';

const ORIGIN = 'trusted.overlay.origin';
const NLINK = 'trusted.overlay.nlink';

const TOP: Tree = { d: { f: 'f', g: 'g' }, e: { h: 'h' }, plain: 'plain' };
const BOTTOM: Tree = { a: 'linked', b: hardlink('a'), c: hardlink('a') };

/** Copies up a file of three names, of which the upper then has one, and other files, one of them by its metadata. */
async function copyUp({ system, at }: Site): Promise<void> {
  await system.put(at('merged/a'), 'changed', 1);
  await system.put(at('merged/d/f'), 'changed', 1);
  await system.chmod(at('merged/d/g'), 0o600);
  await system.put(at('merged/plain'), 'changed', 1);
}

/** The only entry of the index. */
function entryOf({ at }: Site): string {
  const names = readdirSync(at('work/index')).filter((name) => !name.startsWith('#'));
  expect(names).toHaveLength(1);
  return `work/index/${names[0]}`;
}

function nameOf(site: Site): string {
  return entryOf(site).slice('work'.length);
}

interface Row extends Omit<Damage, 'mended' | 'left' | 'make'> {
  readonly make: (site: Site, entry: string) => Promise<unknown>;
  /** ENTRY stands for the entry of the index. */
  readonly mended?: readonly string[];
  readonly left?: readonly string[];
}

const ROWS: readonly Row[] = [
  {
    name: 'an entry of the index without its origin',
    make: ({ system, at }, entry) => system.removexattr(at(entry), ORIGIN),
    mended: ['index-origin workdir ENTRY'],
    changes: { lamina: 'the link count' },
  },
  {
    name: 'an entry of the index with the origin of another file',
    make: async ({ system, at }, entry) =>
      system.setxattr(at(entry), ORIGIN, Buffer.from(await system.getxattr(at('upper/plain'), ORIGIN), 'latin1')),
    left: ['index-origin workdir ENTRY'],
  },
  {
    name: 'an entry of the index with more links than there can be',
    make: ({ system, at }, entry) => system.setxattr(at(entry), NLINK, 'U+7'),
    mended: ['index-nlink workdir ENTRY'],
    changes: { lamina: 'the link count' },
  },
  {
    name: 'an entry of the index with a link count that is none',
    make: ({ system, at }, entry) => system.setxattr(at(entry), NLINK, 'many'),
    mended: ['index-nlink workdir ENTRY'],
    changes: { lamina: 'the link count' },
  },
  {
    name: 'an entry of the index whose names are all gone',
    make: async ({ system, at }, entry) => {
      await system.unlink(at('upper/a'));
      await system.setxattr(at(entry), NLINK, 'U-1');
      for (const name of ['a', 'b', 'c']) await system.mknod(at(`upper/${name}`), 0o020000);
    },
    mended: ['index-orphan workdir ENTRY'],
  },
  {
    name: 'an entry of the index whose lower file is gone',
    make: async ({ system, at }) => {
      for (const name of ['a', 'b', 'c']) await system.unlink(at(`bottom/${name}`));
    },
    mended: ['index-stale workdir ENTRY', 'origin-stale upper /a'],
    changes: { kernel: 'the link count', lamina: 'the link count' },
  },
  {
    name: 'an entry of the index that alone has its data, whose lower file is gone',
    make: async ({ system, at }) => {
      for (const name of ['a', 'b', 'c']) await system.unlink(at(`bottom/${name}`));
      await system.unlink(at('upper/a'));
    },
    left: ['index-stale workdir ENTRY'],
  },
  {
    name: 'files in the index that are no entries',
    make: async ({ system, at }) => {
      await system.put(at('work/index/empty'), '');
      await system.put(at('work/index/00fb'), 'data');
    },
    mended: ['index-name workdir /index/empty'],
    left: ['index-name workdir /index/00fb'],
  },
  {
    name: 'a copied-up file whose lower file is gone',
    make: ({ system, at }) => system.unlink(at('top/plain')),
    mended: ['origin-stale upper /plain'],
  },
  {
    name: 'a copied-up file that says it was a directory',
    make: async ({ system, at }) => {
      const name = Buffer.from(await system.getxattr(at('upper/d'), ORIGIN), 'latin1');
      await system.setxattr(at('upper/plain'), ORIGIN, name);
    },
    mended: ['origin-type upper /plain'],
  },
  {
    name: 'a directory of copied-up files that is not marked as impure',
    make: ({ system, at }) => system.removexattr(at('upper/d'), 'trusted.overlay.impure'),
    mended: ['impure-missing upper /d'],
  },
  {
    name: 'a directory that was renamed in the upper itself',
    make: ({ system, at }) => system.rename(at('upper/d'), at('upper/e')),
    left: ['metacopy-no-data upper /e/g', 'origin-mismatch upper /e'],
  },
];

const missing = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(missing !== undefined)(titled('fsck, of what was copied up,', missing), () => {
  let ground: Ground;
  beforeAll(async () => void (ground = await Ground.open('root')));
  afterAll(() => ground.close());

  const makeSite = async (writer: Mounter): Promise<Site> => {
    const site = await Site.make(ground, {}, TOP, BOTTOM);
    await site.within(writer, () => copyUp(site));
    expect(told(site.check().left)).toEqual([]);
    return site;
  };

  test.each(ROWS)('finds and mends $name', async ({ make, mended = [], left = [], ...row }) => {
    const site = await makeSite(KERNEL);
    const name = nameOf(site);
    await make(site, entryOf(site));
    const withName = (text: string) => text.replace('ENTRY', name);
    await expectMended(site, { ...row, mended: mended.map(withName), left: left.map(withName) });
  });

  test('finds nothing wrong with the index of lamina, and mends it as that of kernel overlayfs', async () => {
    const site = await makeSite(LAMINA);
    await site.system.setxattr(site.at(entryOf(site)), NLINK, 'U+7');
    expect(told(site.check({ repair: true }).mended)).toEqual([`index-nlink workdir ${nameOf(site)}`]);
    expect(told(site.check().left)).toEqual([]);
  });

  test('tells an index that belongs to another upper', async () => {
    const [site, other] = [await makeSite(KERNEL), await makeSite(KERNEL)];
    rmSync(site.at('work'), { recursive: true });
    await site.system.rename(other.at('work'), site.at('work'));
    expect(told(site.check().left)).toContain('index-upper workdir /index');
    expect(told(site.check({ repair: true }).mended)).toEqual([]);
  });

  test('does not mend by lower layers that the upper was not made on', async () => {
    const site = await makeSite(KERNEL);
    await site.system.mknod(site.at('upper/gone'), 0o020000);
    const bytes = (name: string) => toBytes(site.at(name));
    const overlay = { upper: bytes('upper'), work: bytes('work'), lowers: [bytes('merged')] };
    const { mended, left } = site.check({ overlay, repair: true });
    expect(mended).toEqual([]);
    expect(told(left)).toEqual(
      expect.arrayContaining(['lowers-differ upper /', 'metacopy-no-data upper /d/g', 'whiteout-orphan upper /gone']),
    );
    expect(left.filter(({ repairable }) => repairable)).toEqual([]);
  });
});
