import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runBenchmark } from '../../bench/benchmark.ts';
import { createLamina, createPeers } from '../../bench/contenders.ts';
import { type Ground } from '../../bench/measure.ts';
import { Sources } from '../../bench/sources.ts';
import { type Workload } from '../../bench/workload.ts';
import { WORKLOADS } from '../../bench/workloads/index.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, hasFuseDevice, hasKernelOverlay, isRoot, titled } from '../support/requirements.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), hasKernelOverlay());

describe.skipIf(missing)(titled('runBenchmark', missing), () => {
  let base = '';
  let ground: Ground;
  const lamina = createLamina(DIST);
  const overlayfs = createPeers(DIST).filter(({ name }) => name === 'overlayfs');
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
    const sources = new Sources(join(scratch, 'sources'), { kind: 'layers', directory: layers });
    ground = { scratch, sources };
  });

  afterAll(async () => {
    await rm(base, { recursive: true });
  });

  test('measures every contender in every round, in turns, and leaves nothing mounted', async () => {
    const order: string[] = [];
    const find = WORKLOADS.filter(({ name }) => name === 'find-warm');
    const [result] = await runBenchmark(ground, plan(...find), (_, { name }) => order.push(name));
    expect(order).toEqual(['lamina', 'overlayfs', 'overlayfs', 'lamina']);
    expect(result?.failures).toEqual({});
    const ours = result?.measurements['lamina'] ?? [];
    expect(ours).toHaveLength(2);
    for (const { daemon } of ours) {
      expect(daemon?.peakRssKib).toBeGreaterThan(1000);
      expect(daemon?.requests).toBeGreaterThanOrEqual(0);
    }
    expect(result?.measurements['overlayfs']).toHaveLength(2);
    expect(result?.measurements['overlayfs']?.[0]).not.toHaveProperty('daemon');
    expect(await readdir(ground.scratch)).toEqual([]);
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

  test('returns what is complete once its signal fires', async () => {
    const controller = new AbortController();
    const quick: Workload = { name: 'quick', description: '', measure: (site) => site.run('true') };
    const endless: Workload = { name: 'endless', description: '', measure: (site) => site.run('sleep', '600') };
    const results = await runBenchmark({ ...ground, signal: controller.signal }, plan(quick, endless), ({ name }) => {
      if (name === 'endless') setTimeout(() => controller.abort(), 1500);
    });
    expect(results.map(({ name }) => name)).toEqual(['quick']);
    expect(await readdir(ground.scratch)).toEqual([]);
  });
});
