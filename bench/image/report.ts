import { type Machine, machineLine } from '../report.ts';
import { compare, median } from '../statistics.ts';
import { formatRatio, formatSeconds, formatTable } from '../format.ts';
import { type Round, type Step, STEPS, type Usage } from './measure.ts';

/** All of one benchmark of images. */
export interface ImageReport {
  readonly machine: Machine;
  readonly image: { readonly bytes: number; readonly layers: number; readonly files: number };
  /** By the name of the tool, lamina first; the same number of each. */
  readonly rounds: Readonly<Record<string, readonly Round[]>>;
  /** Those that did not take part, and why. */
  readonly missing: Readonly<Record<string, string>>;
}

const values = (rounds: readonly Round[], step: Step, of: keyof Usage): number[] =>
  rounds.map((round) => round[step][of]);

function rowsOf(step: Step, { rounds }: ImageReport): string[][] {
  const ours = Object.values(rounds)[0] ?? [];
  return Object.entries(rounds).map(([name, theirs], at) => [
    step,
    name,
    formatSeconds(median(values(theirs, step, 'seconds'))),
    formatSeconds(median(values(theirs, step, 'cpuSeconds'))),
    `${Math.round(Math.max(...values(theirs, step, 'peakRssKib')) / 1024)} MiB`,
    at === 0 ? '' : formatRatio(compare(values(ours, step, 'seconds'), values(theirs, step, 'seconds'))),
  ]);
}

/** The report as text for a terminal. */
export function formatImageReport(report: ImageReport): string {
  const { bytes, layers, files } = report.image;
  const rounds = Object.values(report.rounds)[0]?.length ?? 0;
  return [
    `${machineLine(report.machine)}\n`,
    `image of ${(bytes / (1 << 20)).toFixed(0)} MiB, ${layers} layers, ${files} files; medians of ${rounds} rounds, the greatest peak\n\n`,
    formatTable([
      ['step', 'tool', 'time', 'CPU time', 'peak RSS', 'lamina/it'],
      ...STEPS.flatMap((step) => rowsOf(step, report)),
    ]),
    ...Object.entries(report.missing).map(([name, reason]) => `missing: ${name}: ${reason}\n`),
  ].join('');
}
