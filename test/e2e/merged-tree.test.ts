import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadFile, newStore, run, snapshot, temporary } from '../image/ground.ts';
import { Ground } from '../support/ground.ts';
import { KERNEL, LAMINA, type Layers, type Mounter } from '../support/mounters.ts';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { ARCHIVE, DEBIAN, IMAGE, hasDebianImage } from './debian.ts';

const missing = firstMissing(LAMINA.missing, KERNEL.missing, has('umoci'), hasDebianImage());
const SEVERAL_LAYERS = 4;

describe.skipIf(missing !== undefined)(titled('Debian in a union', missing), () => {
  let ground: Ground;

  beforeAll(async () => {
    ground = await Ground.open('root');
  });
  afterAll(() => ground.close());

  /** What a union of the layers shows, mounted read-only or with an upper. */
  async function shown(mounter: Mounter, layers: Layers): Promise<string[]> {
    const merged = `${ground.directory}/merged`;
    mkdirSync(merged, { recursive: true });
    const mounted = await mounter.mount(ground, layers, merged);
    try {
      return snapshot(ground.fromOutside(merged));
    } finally {
      await mounted.unmount();
    }
  }

  test('shows entry by entry what umoci unpacks and what kernel overlayfs shows, with and without an upper', async () => {
    const base = temporary();
    run('umoci', 'unpack', '--image', `${DEBIAN}/debian-oci:v6`, join(base, 'reference'));
    const reference = snapshot(join(base, 'reference/rootfs'));
    expect(reference.length).toBeGreaterThan(5_000);
    const store = newStore();
    await loadFile(store, ARCHIVE);
    const lowers = store.resolve(IMAGE).layers;
    expect(lowers.length).toBeGreaterThanOrEqual(SEVERAL_LAYERS);
    expect(await shown(KERNEL, { lowers })).toEqual(reference);
    expect(await shown(LAMINA, { lowers })).toEqual(reference);
    const [upper, work] = [join(ground.directory, 'upper'), join(ground.directory, 'work')];
    for (const path of [upper, work]) mkdirSync(path);
    expect((await shown(LAMINA, { lowers, upper, work })).slice(1)).toEqual(reference.slice(1));
  });
});
