import { type WorkloadResult } from './benchmark.ts';
import { type Measurement } from './measure.ts';
import { compare, geometricMean, median, type Ratio } from './statistics.ts';

/** Medians of one contender's measurements. */
export interface ContenderSummary {
  readonly seconds: number;
  readonly cpuSeconds?: number;
  readonly peakRssKib?: number;
  readonly requests?: number;
}

/** One workload: each contender's medians, and lamina's time over each peer's. */
export interface WorkloadSummary {
  readonly name: string;
  readonly contenders: Readonly<Record<string, ContenderSummary>>;
  readonly ratios: Readonly<Record<string, Ratio>>;
}

/** Who is compared with the others. */
export const SUBJECT = 'lamina';

const seconds = (measurements: readonly Measurement[]): number[] => measurements.map((one) => one.seconds);

function summarizeContender(measurements: readonly Measurement[]): ContenderSummary {
  const daemons = measurements.flatMap(({ daemon }) => (daemon === undefined ? [] : [daemon]));
  const requests = daemons.flatMap((daemon) => (daemon.requests === undefined ? [] : [daemon.requests]));
  return {
    seconds: median(seconds(measurements)),
    ...(daemons.length > 0 && {
      cpuSeconds: median(daemons.map((daemon) => daemon.cpuSeconds)),
      peakRssKib: median(daemons.map((daemon) => daemon.peakRssKib)),
    }),
    ...(requests.length > 0 && { requests: median(requests) }),
  };
}

/** Medians and ratios of one workload. */
export function summarize({ name, measurements }: WorkloadResult): WorkloadSummary {
  const contenders = Object.entries(measurements).map(([who, taken]) => [who, summarizeContender(taken)] as const);
  const ours = measurements[SUBJECT];
  const peers = Object.entries(measurements).filter(([who]) => who !== SUBJECT && ours !== undefined);
  const ratios = peers.map(([who, theirs]) => [who, compare(seconds(ours ?? []), seconds(theirs))] as const);
  return { name, contenders: Object.fromEntries(contenders), ratios: Object.fromEntries(ratios) };
}

/** The geometric mean of the ratios to one peer over all workloads that have one; undefined where none has. */
export function overallRatio(summaries: readonly WorkloadSummary[], peer: string): number | undefined {
  const ratios = summaries.flatMap((summary) => summary.ratios[peer]?.ratio ?? []);
  return ratios.length === 0 ? undefined : geometricMean(ratios);
}
