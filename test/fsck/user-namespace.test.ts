import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Ground } from '../support/ground.ts';
import { LAMINA_ROOTLESS, type Mounter } from '../support/mounters.ts';
import { DIST } from '../support/paths.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { type Tree, hardlink } from '../support/tree.ts';
import { Site, told } from './site.ts';

const TOP: Tree = { d: { f: 'f', g: 'g' }, e: { h: 'h' }, plain: 'plain' };
const BOTTOM: Tree = { a: 'linked', b: hardlink('a'), d: { below: 'below' } };

async function change({ system, at }: Site): Promise<void> {
  await system.put(at('merged/a'), 'changed', 1);
  await system.put(at('merged/d/f'), 'changed', 1);
  await system.rename(at('merged/d'), at('merged/moved'));
  await system.unlink(at('merged/e/h'));
  await system.rmdir(at('merged/e'));
  await system.mkdir(at('merged/e'));
}

const { missing } = LAMINA_ROOTLESS;

describe.skipIf(missing !== undefined)(titled('an upper that was written in a user namespace', missing), () => {
  let ground: Ground;
  let site: Site;
  const writer: Mounter = LAMINA_ROOTLESS;

  beforeAll(async () => {
    ground = await Ground.open('user namespace');
    site = await Site.make(ground, {}, TOP, BOTTOM);
    await site.within(writer, () => change(site));
  });
  afterAll(() => ground.close());

  const fsck = (...parameters: readonly string[]) =>
    ground.run(
      [process.execPath, join(DIST, 'cli/lamina.js'), 'fsck', '-o', 'lowerdir=top:bottom', ...parameters],
      site.directory,
    );

  test('is clean in there', async () => {
    const { code, stderr, stdout } = await fsck('upper', '--workdir', 'work');
    expect([code, stderr, stdout]).toEqual([0, '', expect.stringMatching(/^upper: clean /)]);
  });

  test.skipIf(isRoot() !== undefined)(titled('is clean for root outside, by the marks that it has', isRoot()), () => {
    const { left, failures, indexEntries } = site.check();
    expect([told(left), failures, indexEntries]).toEqual([[], [], 1]);
  });

  test('is mended in there', async () => {
    await site.system.setxattr(site.at('upper/moved'), 'user.overlay.redirect', '/nowhere');
    await site.system.removexattr(site.at('upper'), 'user.overlay.impure');
    const found = await fsck('upper', '--workdir', 'work', '--repair');
    expect([found.code, found.stderr]).toEqual([1, '']);
    expect(found.stdout).toMatch(/^upper \/moved: redirect-dangling: /m);
    expect(found.stdout).toMatch(/^upper \/: impure-missing: /m);
    expect((await fsck('upper', '--workdir', 'work')).code).toBe(0);
  });
});
