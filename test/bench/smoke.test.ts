import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runBenchmark } from '../../bench/benchmark.ts';
import { createLamina, createPeers } from '../../bench/contenders/index.ts';
import { Counter } from '../../bench/count.ts';
import { type Ground } from '../../bench/ground.ts';
import { QUICK_SIZES } from '../../bench/sizes.ts';
import { Sources } from '../../bench/sources.ts';
import { type Program, type Workload } from '../../bench/workload.ts';
import { createGroups } from '../../bench/workloads/index.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, hasFuseDevice, hasKernelOverlay, isRoot, titled } from '../support/requirements.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), hasKernelOverlay());

describe.skipIf(missing)(titled('runBenchmark', missing), () => {
  let base = '';
  let ground: Ground;
  const lamina = createLamina(DIST);
  const overlayfs = createPeers(DIST).filter(({ name }) => name === 'overlayfs');
  const all = createGroups({ sizes: QUICK_SIZES, distribution: DIST }).flatMap(({ workloads }) => workloads);
  const plan = (...workloads: Workload[]): Parameters<typeof runBenchmark>[1] => ({
    contenders: [lamina, ...overlayfs],
    workloads,
    rounds: 2,
  });

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'lamina-bench-test-'));
    const layers = join(base, 'layers');
    for (const name of ['below', 'top']) {
      await mkdir(join(layers, name), { recursive: true });
      await writeFile(join(layers, name, `of-${name}`), name);
    }
    const scratch = join(base, 'scratch');
    await mkdir(scratch);
    const sources = new Sources(join(scratch, 'sources'), { kind: 'layers', directory: layers }, QUICK_SIZES);
    ground = { scratch, sources };
  });

  afterAll(async () => {
    await rm(base, { recursive: true });
  });

  test('measures every contender in every round, in turns, and leaves nothing mounted', async () => {
    const order: string[] = [];
    const find = all.filter(({ name }) => name === 'find-warm');
    const [result] = await runBenchmark(ground, plan(...find), (_, name) => order.push(name));
    // Who begins is drawn by lot.
    const first = order.slice(0, 2);
    expect([...first].sort()).toEqual(['lamina', 'overlayfs']);
    expect(order.slice(2)).toEqual(first.reverse());
    expect(result?.failures).toEqual({});
    const ours = result?.measurements['lamina'] ?? [];
    expect(ours).toHaveLength(2);
    for (const { daemon } of ours) {
      expect(daemon?.peakRssKib).toBeGreaterThan(1000);
      expect(daemon?.requests?.['LOOKUP'] ?? 0).toBeGreaterThanOrEqual(0);
    }
    expect(result?.measurements['overlayfs']).toHaveLength(2);
    expect(result?.measurements['overlayfs']?.[0]).not.toHaveProperty('daemon');
    expect(await readdir(ground.scratch)).not.toContain('place');
  });

  test('says why a workload failed and goes on with the next', async () => {
    const failing: Workload = {
      name: 'failing',
      description: '',
      measure: (site) => site.run('ls', `${site.root}/nowhere`),
    };
    const working: Workload = {
      name: 'working',
      description: '',
      measure: (site) => site.run('cat', `${site.root}/of-top`),
    };
    const [failed, worked] = await runBenchmark(ground, plan(failing, working), () => undefined);
    expect(failed?.measurements).toEqual({});
    expect(failed?.failures['lamina']).toMatch(/nowhere.*No such file/);
    expect(worked?.failures).toEqual({});
  });

  test('counts requests by opcode and system calls of each daemon, and the operations', async () => {
    const counter = await Counter.open(ground);
    const misses = all.filter(({ name }) => name === 'misses-5');
    const [result] = await runBenchmark(ground, { ...plan(...misses), rounds: 1, counter }, () => undefined);
    await counter.close();
    expect(result?.failures).toEqual({});
    expect(Object.keys(result?.counts ?? {})).toEqual(['lamina']);
    const { operations, requests, systemCalls } = result?.counts['lamina'] ?? {};
    expect(operations).toBe(QUICK_SIZES.lookups);
    expect(requests?.['LOOKUP']).toBeGreaterThanOrEqual(QUICK_SIZES.lookups);
    if (!('system calls' in counter.missing))
      expect(systemCalls?.['write']).toBeGreaterThanOrEqual(QUICK_SIZES.lookups);
    expect(await readdir(ground.scratch)).not.toContain('place');
  });

  test('says why a workload is skipped and measures nothing of it', async () => {
    const skipping: Workload = {
      ...{ name: 'skipping', description: '', missing: () => Promise.resolve('no reason') },
      measure: () => {
        throw new Error('measured');
      },
    };
    const [result] = await runBenchmark(ground, plan(skipping), () => undefined);
    expect(result).toMatchObject({ skipped: 'no reason', measurements: {}, failures: {} });
  });

  test('measures programs of a workload in place of the contenders, but for those that are missing', async () => {
    const program = (name: string, reason?: string): Program => ({
      ...{ name, missing: () => Promise.resolve(reason) },
      measure: (site) => site.run('test', '-d', site.spare),
    });
    const programs = [program('there'), program('not-there', 'no such program')];
    const measure = (): Promise<never> => Promise.reject(new Error('a contender was measured'));
    const [result] = await runBenchmark(
      ground,
      plan({ name: 'own', description: '', programs, measure }),
      () => undefined,
    );
    expect(result?.measurements['there']).toHaveLength(2);
    expect(result?.missing).toEqual({ 'not-there': 'no such program' });
    expect(result?.failures).toEqual({});
  });

  test('takes a reading in place of the time', async () => {
    const reading = { value: 7, details: { more: 9 } };
    const [result] = await runBenchmark(
      ground,
      plan({ name: 'reading', description: '', unit: 'bytes', measure: () => Promise.resolve(reading) }),
      () => undefined,
    );
    expect(result?.measurements['overlayfs']).toEqual([reading, reading]);
  });

  test('returns what is complete once its signal fires', async () => {
    const controller = new AbortController();
    const quick: Workload = { name: 'quick', description: '', measure: (site) => site.run('true') };
    const endless: Workload = { name: 'endless', description: '', measure: (site) => site.run('sleep', '600') };
    const results = await runBenchmark({ ...ground, signal: controller.signal }, plan(quick, endless), (name) => {
      if (name === 'endless') setTimeout(() => controller.abort(), 1500);
    });
    expect(results.map(({ name }) => name)).toEqual(['quick']);
    expect(await readdir(ground.scratch)).not.toContain('place');
  });
});
