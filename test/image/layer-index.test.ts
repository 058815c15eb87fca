import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

import { problemOfIndex } from '../../fs/layer-index/check.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import { type Digest } from '../../runner/image/digest.ts';
import { type Store } from '../../runner/image/store.ts';
import { Lamina, makeUser, recipe, removeUser, type User } from '../container/lamina.ts';
import { Ground } from '../overlay/driver.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, tar } from './archives.ts';
import { check } from './check-store.ts';
import { isLayer, load, newStore } from './ground.ts';

const BOTTOM = tar(
  { name: 'd/', type: '5', mode: 0o750 },
  { name: 'd/f', data: 'content', mode: 0o640 },
  { name: 'd/gone', data: 'x' },
  { name: 'd/symlink', type: '2', linkname: 'f' },
);
const TOP = tar({ name: 'd/.wh.gone' }, { name: 'd/new', data: 'new' });
const IMAGE = { layers: [BOTTOM, TOP], names: ['app:1'] };

async function loaded(): Promise<{ store: Store; layers: readonly string[] }> {
  const store = newStore();
  await load(store, dockerArchive(IMAGE));
  return { store, layers: store.resolve('app:1').layers };
}

describe.skipIf(isRoot())(titled('the index of a layer in the store', isRoot()), () => {
  test('comes with the layer, for nobody else to read, and says what is so', async () => {
    const { layers } = await loaded();
    for (const layer of layers) {
      expect(statSync(`${layer}.lamina-index`).mode & 0o777).toBe(0o600);
      expect(problemOfIndex(toBytes(layer), true)).toBe(undefined);
    }
  });

  test('is what a union lists and looks up by: it opens no directory of the layer', async () => {
    const { layers } = await loaded();
    const ground = new Ground();
    onTestFinished(() => ground.remove());
    const union = ground.overlay(layers, { metacopy: true });
    // What is not asked for is not missed.
    for (const layer of layers) rmSync(join(layer, 'd'), { recursive: true });
    expect(union.list('d')).toEqual(['f', 'new', 'symlink']);
    expect(union.stat('d/f').mode & 0o777).toBe(0o640);
    union.close();
  });

  test('is not that of a layer which another process put there first', async () => {
    const { store, layers } = await loaded();
    const [layer = ''] = layers;
    const scratch = store.scratch();
    const late = scratch.next();
    mkdirSync(join(late, 'late'), { recursive: true });
    const chainId = `sha256:${layer.slice(-64)}` as Digest;
    expect(store.layers.adopt(late, chainId, { size: 0, blob: chainId, archiveSize: 0 }, scratch)).toBe(false);
    scratch.remove();
    expect(problemOfIndex(toBytes(layer), true)).toBe(undefined);
  });

  test('goes with its layer, and one without a layer when something is collected', async () => {
    const { store, layers } = await loaded();
    const [layer = ''] = layers;
    copyFileSync(`${layer}.lamina-index`, join(store.root, 'layers', `${'a'.repeat(64)}.lamina-index`));
    store.remove('app:1');
    expect(readdirSync(join(store.root, 'layers'))).toEqual([]);
  });

  const damages: readonly (readonly [what: string, damage: (layer: string) => void, problem: RegExp])[] = [
    ['is cut', (layer) => writeFileSync(`${layer}.lamina-index`, 'LAMINAIX'), /^is no index of a layer$/],
    ['has one byte more', (layer) => appendFileSync(`${layer}.lamina-index`, 'x'), /^is not whole$/],
    ['may be written by others', (layer) => chmodSync(`${layer}.lamina-index`, 0o622), /^can be written by others$/],
    [
      'tells of what a file was before',
      (layer) => {
        chmodSync(join(layer, 'd/f'), 0o600);
        chmodSync(join(layer, 'd/f'), 0o640);
      },
      /^says of its files what is not so$/,
    ],
  ];

  test.each(damages)('that %s is found by a check, and written anew by a repair', async (_what, damage, problem) => {
    const { store, layers } = await loaded();
    const bottom = layers.at(-1) ?? '';
    damage(bottom);
    const subject = `index of layer sha256:${bottom.slice(-64)}`;
    expect(await check(store)).toMatchObject([{ subject, problem: expect.stringMatching(problem) as string }]);
    expect(await check(store, { repair: true })).toMatchObject([{ subject, repaired: true }]);
    expect(problemOfIndex(toBytes(bottom), true)).toBe(undefined);
    expect(await check(store)).toEqual([]);
  });

  test('that is not there, as in a store of an older program, is no problem, and is written by a repair', async () => {
    const { store, layers } = await loaded();
    for (const layer of layers) rmSync(`${layer}.lamina-index`);
    expect(await check(store)).toEqual([]);
    expect(await check(store, { repair: true })).toEqual([]);
    expect(layers.map((layer) => existsSync(`${layer}.lamina-index`))).toEqual([true, true]);
    expect(readdirSync(join(store.root, 'layers')).filter(isLayer)).toHaveLength(2);
  });
});

const programs = ['useradd', 'setpriv', 'newuidmap'].map(has);
const missing = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), ...programs);

describe.skipIf(missing)(titled("the index of a layer in an ordinary user's store", missing), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-index', { start: 750_000_000, count: 65_536 });
    lamina = new Lamina(user);
    const entries = [{ type: 'file', name: 'data/f', content: 'f', mode: 0o640 }] as const;
    await lamina.load(await recipe('app', [{ title: 'data', entries }]));
  });

  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test('is used by the container, and comes with a commit', async () => {
    const directory = join(lamina.root, 'layers');
    const layer = readdirSync(directory).find((name) => existsSync(join(directory, name, 'data/f'))) ?? '';
    // Whose mode is shown tells who was asked.
    chmodSync(join(directory, layer, 'data/f'), 0o600);
    const shown = await lamina.call(['run', '--name', 'c', 'app', 'sh', '-c', 'stat -c %a /data/f; echo >/data/g']);
    chmodSync(join(directory, layer, 'data/f'), 0o640);
    expect(shown).toMatchObject({ code: 0, stdout: '640\n', stderr: '' });
    expect(await lamina.call(['commit', 'c', 'app:2'])).toMatchObject({ code: 0, stderr: '' });
    const names = readdirSync(directory);
    expect(names.filter((name) => name.endsWith('.lamina-index'))).toHaveLength(names.filter(isLayer).length);
    // That a file was changed and changed back is all there is to say.
    const { stdout } = await lamina.call(['system', 'check', '--repair']);
    expect(stdout).toMatch(
      /^index of layer sha256:[0-9a-f]+: says of its files what is not so; repaired\n.*: 1 repaired/,
    );
    expect(await lamina.call(['system', 'check'])).toMatchObject({ code: 0 });
  });
});
