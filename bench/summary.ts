import { type WorkloadResult } from './benchmark.ts';
import { type Counts } from './count.ts';
import { type Measurement } from './measure.ts';
import { pairName, pairsOf } from './pairs.ts';
import { compare, geometricMean, median, type Ratio } from './statistics.ts';
import { type Point, type Unit } from './workload.ts';

/** Medians of one contender's measurements. */
export interface ContenderSummary {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly details?: Readonly<Record<string, number>>;
  readonly cpuSeconds?: number;
  readonly peakRssKib?: number;
  readonly requests?: number;
}

/** One workload: each contender's medians, and the ratios of the pairs. */
export interface WorkloadSummary {
  readonly name: string;
  readonly description: string;
  readonly unit: Unit;
  readonly point?: Point;
  readonly hasPrograms: boolean;
  readonly contenders: Readonly<Record<string, ContenderSummary>>;
  /** By the pair's name. */
  readonly ratios: Readonly<Record<string, Ratio>>;
  readonly counts: Readonly<Record<string, Counts>>;
}

const values = (measurements: readonly Measurement[]): number[] => measurements.map(({ value }) => value);

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);

function summarizeDetails(measurements: readonly Measurement[]): Record<string, number> {
  const names = Object.keys(measurements[0]?.details ?? {});
  const medians = names.map((name) => [name, median(measurements.flatMap(({ details }) => details?.[name] ?? []))]);
  return Object.fromEntries(medians) as Record<string, number>;
}

function summarizeContender(measurements: readonly Measurement[]): ContenderSummary {
  const daemons = measurements.flatMap(({ daemon }) => (daemon === undefined ? [] : [daemon]));
  const requests = daemons.flatMap((daemon) => (daemon.requests === undefined ? [] : [sum(daemon.requests)]));
  const details = summarizeDetails(measurements);
  return {
    value: median(values(measurements)),
    low: Math.min(...values(measurements)),
    high: Math.max(...values(measurements)),
    ...(Object.keys(details).length > 0 && { details }),
    ...(daemons.length > 0 && {
      cpuSeconds: median(daemons.map((daemon) => daemon.cpuSeconds)),
      peakRssKib: median(daemons.map((daemon) => daemon.peakRssKib)),
    }),
    ...(requests.length > 0 && { requests: median(requests) }),
  };
}

/** Medians and ratios of one workload. */
export function summarize(result: WorkloadResult): WorkloadSummary {
  const { name, description, unit, point, hasPrograms, measurements, counts } = result;
  const contenders = Object.entries(measurements).map(([who, taken]) => [who, summarizeContender(taken)] as const);
  const ratios = pairsOf(Object.keys(measurements)).map((pair) => {
    const [ours, theirs] = [measurements[pair.ours] ?? [], measurements[pair.theirs] ?? []];
    return [pairName(pair), compare(values(ours), values(theirs))] as const;
  });
  return {
    ...{ name, description, unit, hasPrograms, counts },
    ...(point !== undefined && { point }),
    contenders: Object.fromEntries(contenders),
    ratios: Object.fromEntries(ratios),
  };
}

/** The geometric mean of a pair's ratios over all times that both took; undefined where there is none. */
export function overallRatio(summaries: readonly WorkloadSummary[], pair: string): number | undefined {
  const ratios = summaries.flatMap(({ unit, ratios: by }) => (unit === 'seconds' ? (by[pair]?.ratio ?? []) : []));
  return ratios.length === 0 ? undefined : geometricMean(ratios);
}
