import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Ground } from '../support/ground.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { file, symlink } from '../support/tree.ts';
import { Site, told } from './site.ts';

const missing = isRoot();

// 2 to the power of this many.
const DOUBLINGS = 12;

describe.skipIf(missing !== undefined)(titled('fsck of layers that somebody made to do harm', missing), () => {
  let ground: Ground;
  beforeAll(async () => void (ground = await Ground.open('root')));
  afterAll(() => ground.close());

  test('follows no symlink, in a layer or in the workdir', async () => {
    const site = await Site.make(
      ground,
      { out: symlink('../outside'), etc: symlink('/etc'), '.wh..wh..opq': symlink('/etc/passwd') },
      { etc: { below: 'below' }, out: symlink('/') },
    );
    await site.system.mkdir(site.at('outside'));
    await site.system.mknod(site.at('outside/gone'), 0o020000);
    await site.system.symlink(site.at('outside'), site.at('work/work'));
    const { left, mended } = site.check({ repair: true });
    expect(told(left)).toEqual(['whiteout-not-empty upper /.wh..wh..opq', 'workdir-unusable workdir /work']);
    expect(mended).toEqual([]);
    expect(await site.system.exists(site.at('outside/gone'))).toBe(true);
  });

  test('goes down no deeper than a path can, and says so', async () => {
    const site = await Site.make(ground);
    await ground.must(['perl', '-e', 'for (1..2100) { mkdir "d"; chdir "d" }'], site.at('upper'));
    const { left, directories } = site.check();
    expect(left.map(({ kind }) => kind)).toEqual(['too-deep']);
    expect(directories).toBeLessThan(2100);
  });

  test('survives values of any size and bytes in every mark', async () => {
    const long = 'x'.repeat(3000);
    const marks = [
      'redirect',
      'metacopy',
      'origin',
      'nlink',
      'opaque',
      'impure',
      'whiteout',
      'upper',
      'uuid',
      'future',
    ];
    const values = ['', '\0', '/', '//', '/..', '\xff\xfb', '\0\xfb\x02', '\0\xfb\xff\0\x01', long, `/${long}`];
    const upper = Object.fromEntries(
      marks.flatMap((mark, at) =>
        values.map((value, index) => {
          const xattrs = { [`trusted.overlay.${mark}`]: value };
          return [`${at}-${index}`, index % 2 === 0 ? file('', { xattrs }) : file('data', { xattrs })] as const;
        }),
      ),
    );
    const site = await Site.make(ground, upper);
    const { failures, left } = site.check({ repair: true });
    expect(failures).toEqual([]);
    expect(left.filter(({ repairable }) => repairable)).toEqual([]);
  });

  test('ends where redirects lead in circles, and branch at every level', async () => {
    const site = await Site.make(ground, { a: {}, b: {} }, { a: {}, b: {} });
    for (const layer of ['upper', 'top']) {
      await site.system.setxattr(site.at(`${layer}/a`), 'trusted.overlay.redirect', '/b');
      await site.system.setxattr(site.at(`${layer}/b`), 'trusted.overlay.redirect', '/a');
    }
    let path = 'bottom';
    for (let depth = 0; depth < DOUBLINGS; depth++) {
      for (const name of ['a', 'b']) await site.system.mkdir(site.at(`${path}/${name}`));
      path = `${path}/a`;
    }
    expect(told(site.check({ allLayers: true }).left)).toEqual([]);
  });
});
