import { cpSync, mkdirSync, readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';

import { checkContainers } from '../../runner/container/check-containers.ts';
import { type Container } from '../../runner/container/container.ts';
import { ContainerStore } from '../../runner/container/container-store.ts';
import { type Problem, StoreCheck } from '../../runner/image/check/store-check.ts';
import { type Digest } from '../../runner/image/digest.ts';
import { openStore, type Store } from '../../runner/image/store.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, type ImageMaking, sha256, tar } from './archives.ts';
import { FakeRegistry } from './fake-registry.ts';
import { load, newStore, temporary } from './ground.ts';
import { changingCalls, killBefore, KILLS, randomNumbers, runLamina } from './kills.ts';

const files = (prefix: string): Buffer =>
  tar(...Array.from({ length: 60 }, (_, at) => ({ name: `${prefix}/${at}`, data: prefix.repeat(at * 50) })));
const BASE = files('base');
const ONE: ImageMaking = { layers: [BASE, files('one')], names: ['one:1'], architecture: 'amd64' };
const TWO: ImageMaking = { layers: [BASE, files('two'), files('three')], names: ['two:1'], architecture: 'amd64' };

/** Opens the store as the next command does, and checks all of it. */
async function problemsOf(root: string): Promise<Problem[]> {
  const store = openStore(root);
  const scratch = store.scratch();
  const problems: Problem[] = [];
  await new StoreCheck(store, scratch, {
    quick: false,
    repairer: undefined,
    report: (problem) => problems.push(problem),
  }).run();
  scratch.remove();
  expect(readdirSync(join(root, 'tmp'))).toEqual([]);
  const ofContainers = checkContainers(store).problems.map((problem) => ({ ...problem, repaired: false }));
  return [...problems, ...ofContainers];
}

/** A container of two:1 that has ended, and has changed some files. */
function endedContainer(store: Store, name: string): Container {
  const image = store.resolve('two:1');
  const wanted = { name, image: 'two:1', imageId: image.id, layers: image.layers, args: ['sh'] };
  const ended = { status: 'exited', exitCode: 0 } as const;
  const containers = new ContainerStore(store.root, (id) => store.release(id));
  const container = containers.create(wanted, ended, ({ id }) => store.hold(image, id));
  for (let at = 0; at < 30; at++) writeFileSync(join(container.upper, `changed-${at}`), 'x'.repeat(at * 100));
  return container;
}

function nothingSpare(store: Store): void {
  expect(store.spare()).toEqual({ blobs: [], layers: [], bytes: 0 });
}

/** Something that changes a store, and may be killed at it. */
interface Work {
  /** A store on which it can be done. */
  readonly prepare: () => Promise<Store>;
  readonly args: readonly string[];
  /** Does it again, if that is another command. */
  readonly again?: readonly string[];
  /** Exit statuses that say that it is done. */
  readonly success?: readonly number[];
  /** A problem that was there before, and may be there still where it was killed. */
  readonly mayBeLeft?: RegExp;
  /** Holds the store against what it must be in the end. */
  readonly verify: (store: Store) => void;
}

/** Kills it before changing system calls and at moments, in turns; each time the store is whole, and the work can be done. */
async function killAtRandom(work: Work, seed: number): Promise<void> {
  const random = randomNumbers(seed);
  const { success = [0] } = work;
  const calls = await changingCalls((await work.prepare()).root, work.args, success);
  const { milliseconds } = await runLamina((await work.prepare()).root, work.args);
  expect(calls.length).toBeGreaterThan(5);
  let killed = 0;
  for (let at = 0; at < KILLS; at++) {
    const { root } = await work.prepare();
    const call = calls[Math.floor(random() * calls.length)] ?? { name: 'fsync', ordinal: 1 };
    const moment = (0.2 + 0.8 * random()) * milliseconds;
    const ended = at % 2 === 0 ? await killBefore(call, root, work.args) : await runLamina(root, work.args, [], moment);
    if (!success.includes(ended.code ?? -1)) killed += 1;
    const where = at % 2 === 0 ? `before ${call.name} ${call.ordinal}` : `after ${moment} ms`;
    const left = (await problemsOf(root)).filter(({ problem }) => work.mayBeLeft?.test(problem) !== true);
    expect({ where, left }).toEqual({ where, left: [] });
    const again = await runLamina(root, work.again ?? work.args);
    expect({ where, isDone: success.includes(again.code ?? -1), ...again }).toMatchObject({ where, isDone: true });
    expect({ where, problems: await problemsOf(root) }).toEqual({ where, problems: [] });
    work.verify(openStore(root));
  }
  // By time, some come too late; before a call, all but those that another thread makes do not.
  expect(killed).toBeGreaterThan(KILLS / 4);
}

const missing = firstMissing(isRoot(), has('strace'));
const timeout = 60_000 + KILLS * 20_000;

describe.skipIf(missing)(titled('A store whose command is killed', missing), () => {
  test('is whole after a pull, and the image can be pulled', { timeout }, async () => {
    const remote = await FakeRegistry.open();
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    // Zeros that make them worth a second thread.
    const pad = Buffer.alloc(5 << 20);
    const layers = ['base', 'two', 'three'].map((name) => tar({ name: `${name}/pad`, data: pad }, files(name)));
    remote.image('1.0', layers, layers, architecture);
    const name = `${remote.host}/team/two:1.0`;
    const prepare = async (): Promise<Store> => {
      const store = newStore();
      await load(store, dockerArchive(ONE));
      return store;
    };
    const verify = (store: Store): void => {
      expect(store.resolve(name).layers.map((layer) => readdirSync(layer))).toEqual([['three'], ['two'], ['base']]);
      expect(store.resolve('one:1').layers).toHaveLength(2);
      nothingSpare(store);
    };
    await killAtRandom({ prepare, args: ['pull', name], verify }, 1);
  });

  async function both(): Promise<Store> {
    const store = newStore();
    await load(store, dockerArchive(ONE, TWO));
    return store;
  }

  test('is whole after rmi, and the image can be removed', { timeout }, async () => {
    const verify = (store: Store): void => {
      expect(store.list().flatMap(({ names }) => names)).toEqual(['docker.io/library/one:1']);
      expect(store.resolve('one:1').layers.map((layer) => readdirSync(layer))).toEqual([['one'], ['base']]);
      nothingSpare(store);
    };
    await killAtRandom({ prepare: both, args: ['rmi', 'two:1'], again: ['rmi', '-f', 'two:1'], verify }, 2);
  });

  test('is whole after commit, and the container can be committed', { timeout }, async () => {
    // The same image each time, so that what a killed commit left is used by the next.
    vi.stubEnv('SOURCE_DATE_EPOCH', '1000000000');
    onTestFinished(() => void vi.unstubAllEnvs());
    const prepare = async (): Promise<Store> => {
      const store = await both();
      endedContainer(store, 'c');
      return store;
    };
    const verify = (store: Store): void => {
      const [top = ''] = store.resolve('made:1').layers;
      expect(readdirSync(top)).toHaveLength(30);
      expect(store.resolve('made:1').layers.slice(1)).toEqual(store.resolve('two:1').layers);
      nothingSpare(store);
    };
    await killAtRandom({ prepare, args: ['commit', 'c', 'made:1'], verify }, 7);
  });

  test('is whole after tag, and the name can be given', { timeout }, async () => {
    const verify = (store: Store): void => {
      expect(store.resolve('two:1').names).toEqual(['docker.io/library/one:1', 'docker.io/library/two:1']);
      expect(store.list()).toHaveLength(2);
      nothingSpare(store);
    };
    await killAtRandom({ prepare: both, args: ['tag', 'one:1', 'two:1'], verify }, 3);
  });

  test('is whole after a prune, and can be pruned', { timeout }, async () => {
    const prepare = async (): Promise<Store> => {
      const store = await both();
      store.untag('two:1', []);
      const spare = Buffer.from('left over');
      writeFileSync(join(store.root, 'blobs/sha256', sha256(spare)), spare, { mode: 0o400 });
      mkdirSync(join(store.root, 'layers', 'a'.repeat(64)));
      return store;
    };
    const verify = (store: Store): void => {
      expect(store.list().flatMap(({ names }) => names)).toEqual(['docker.io/library/one:1']);
      expect(store.resolve('one:1').layers).toHaveLength(2);
      nothingSpare(store);
    };
    await killAtRandom({ prepare, args: ['system', 'prune', '--force'], verify }, 4);
  });

  test('is whole after a prune of containers, and can be pruned', { timeout }, async () => {
    const prepare = async (): Promise<Store> => {
      const store = await both();
      for (const name of ['one', 'two', 'three']) endedContainer(store, name);
      // Who uses it goes in the same command.
      store.untag('two:1', []);
      return store;
    };
    const verify = (store: Store): void => {
      expect(readdirSync(join(store.root, 'containers')).sort()).toEqual(['.lock', '.names']);
      expect(readdirSync(join(store.root, 'containers/.names'))).toEqual([]);
      expect(readdirSync(join(store.root, 'holds'))).toEqual([]);
      expect(store.list().flatMap(({ names }) => names)).toEqual(['docker.io/library/one:1']);
      nothingSpare(store);
    };
    await killAtRandom({ prepare, args: ['system', 'prune', '--force'], verify }, 8);
  });

  test('is whole after a first use, which unpacks, and the image can be used', { timeout }, async () => {
    const { root: packed } = await both();
    // As skopeo leaves it: an image layout, and nothing else.
    const prepare = (): Promise<Store> => {
      const root = join(temporary(), 'store');
      mkdirSync(root, { mode: 0o700 });
      for (const part of ['blobs', 'index.json', 'oci-layout']) {
        cpSync(join(packed, part), join(root, part), { recursive: true, preserveTimestamps: true });
      }
      const store = openStore(root);
      expect(store.resolve('two:1').unpacked).toBe(false);
      return Promise.resolve(store);
    };
    const verify = (store: Store): void => {
      const { layers, unpacked } = store.resolve('two:1');
      expect(unpacked && layers.map((layer) => readdirSync(layer))).toEqual([['three'], ['two'], ['base']]);
      expect(store.resolve('one:1').unpacked).toBe(false);
      nothingSpare(store);
    };
    await killAtRandom({ prepare, args: ['diff', 'two:1'], verify }, 9);
  });

  test('is whole after a load, and the images can be loaded', { timeout }, async () => {
    const archive = join(temporary(), 'images.tar');
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    writeFileSync(archive, dockerArchive({ ...ONE, architecture }, { ...TWO, architecture }));
    const verify = (store: Store): void => {
      expect(store.list()).toHaveLength(2);
      nothingSpare(store);
    };
    await killAtRandom({ prepare: () => Promise.resolve(newStore()), args: ['load', '-i', archive], verify }, 5);
  });

  test('is as whole as before after a repair, and can be repaired', { timeout }, async () => {
    const prepare = async (): Promise<Store> => {
      const store = await both();
      unlinkSync(join(store.layers.path(`sha256:${sha256(BASE)}` as Digest), 'base/7'));
      return store;
    };
    const verify = (store: Store): void => {
      expect(readdirSync(join(store.layers.path(`sha256:${sha256(BASE)}` as Digest), 'base'))).toHaveLength(60);
      nothingSpare(store);
    };
    const mayBeLeft = /\/base\/7 is missing/;
    await killAtRandom({ prepare, args: ['system', 'check', '--repair'], success: [0, 1], mayBeLeft, verify }, 6);
  });
});
