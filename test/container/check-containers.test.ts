import { mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';

import { checkContainers, runsOnLayer } from '../../runner/container/check-containers.ts';
import { type Container } from '../../runner/container/container.ts';
import { ContainerStore } from '../../runner/container/container-store.ts';
import { identify } from '../../runner/container/process-identity.ts';
import { addImage } from '../../runner/image/add-image.ts';
import { openStore, type Store } from '../../runner/image/store.ts';
import { tar } from '../image/archives.ts';
import { inPieces } from '../image/ground.ts';
import { isRoot, titled } from '../support/requirements.ts';

describe.skipIf(isRoot())(titled('checkContainers', isRoot()), () => {
  async function made(): Promise<{ store: Store; containers: ContainerStore; container: Container }> {
    const base = mkdtempSync(join(tmpdir(), 'lamina-check-'));
    onTestFinished(() => rmSync(base, { recursive: true }));
    const store = openStore(join(base, 'store'));
    const image = await addImage(store, { name: 'x:1', layers: [inPieces(tar({ name: 'f', data: 'x' }))] });
    const containers = new ContainerStore(store.root, (id) => store.release(id));
    const wanted = { name: 'web', image: 'x:1', imageId: image.id, layers: image.layers, args: ['sh'] };
    const container = containers.create(wanted, { status: 'exited', exitCode: 0 }, ({ id }) => store.hold(image, id));
    return { store, containers, container };
  }

  test('finds nothing in a container that is whole', async () => {
    const { store } = await made();
    expect(checkContainers(store)).toEqual({ count: 1, problems: [] });
  });

  test('finds a hold that is lost or damaged, and mends it', async () => {
    const { store, container } = await made();
    const hold = join(store.root, 'holds', container.id);
    const losses = [(): void => unlinkSync(hold), (): void => writeFileSync(hold, '{')];
    for (const lose of losses) {
      lose();
      const { problems } = checkContainers(store);
      expect(problems.map(({ subject, problem }) => `${subject} ${problem}`)).toEqual([
        'container web does not hold its image, whose layers could be removed',
      ]);
      problems[0]?.mend?.();
      expect(checkContainers(store).problems).toEqual([]);
      expect(() => store.remove('x:1')).toThrow(/uses it/);
    }
  });

  test('finds a layer and an upper that are gone', async () => {
    const { store, container } = await made();
    rmSync(container.upper, { recursive: true });
    const [layer = ''] = container.config.layers;
    renameSync(layer, `${layer}.gone`);
    expect(checkContainers(store).problems.map(({ problem }) => problem)).toEqual([
      `${container.upper} is missing`,
      `its image's layer ${layer} is missing`,
    ]);
  });

  test('finds a container whose configuration cannot be read', async () => {
    const { store, container } = await made();
    writeFileSync(join(container.directory, 'config.json'), '{');
    expect(checkContainers(store)).toMatchObject({ count: 1, problems: [{ subject: container.directory }] });
  });

  test('runsOnLayer names a container that runs, and none that has ended', async () => {
    const { store, containers, container } = await made();
    const [chainId] = store.resolve('x:1').chainIds;
    if (chainId === undefined) throw new Error('the image has no layer');
    expect(runsOnLayer(containers.list(), chainId)).toBeUndefined();
    const supervisor = identify(process.pid);
    container.writeState({ status: 'running', ...(supervisor === undefined ? {} : { supervisor }) });
    expect(runsOnLayer(containers.list(), chainId)).toBe('web');
  });
});
