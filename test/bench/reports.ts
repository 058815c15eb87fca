import { type WorkloadResult } from '../../bench/benchmark.ts';
import { type Report } from '../../bench/report.ts';
import { QUICK_SIZES } from '../../bench/sizes.ts';

/** A result in seconds; each contender's times by round. */
export function resultOf(name: string, times: Readonly<Record<string, readonly number[]>>): WorkloadResult {
  const measurements = Object.entries(times).map(([who, values]) => [who, values.map((value) => ({ value }))] as const);
  return {
    ...{ name, description: '', unit: 'seconds', hasPrograms: false, failures: {}, missing: {}, counts: {} },
    measurements: Object.fromEntries(measurements),
  };
}

/** A report of these results. */
export function reportOf(results: readonly WorkloadResult[], rounds = 3): Report {
  return {
    machine: {
      ...{ kernel: '6.1', processors: 2, model: 'a model', memory: 2 ** 33 },
      ...{ node: 'v20', date: '2026-01-01', load: 0.25 },
    },
    ...{ rounds, rootless: false, sizes: QUICK_SIZES, missing: {}, results },
    contenders: ['lamina', 'overlayfs', 'fuse-overlayfs'],
  };
}
