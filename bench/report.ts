import { rename, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { type WorkloadResult } from './benchmark.ts';
import { summarize } from './summary.ts';
import { formatDaemons, formatTimes } from './table.ts';

/** Where and when it was measured: numbers mean little without. */
export interface Machine {
  readonly kernel: string;
  readonly processors: number;
  readonly model: string;
  readonly node: string;
  readonly date: string;
  /** Runnable processes before the benchmark; above 0.5 or so others were at work too. */
  readonly load: number;
}

/** This machine, now. */
export function describeMachine(): Machine {
  return {
    kernel: release(),
    processors: availableParallelism(),
    model: cpus()[0]?.model ?? 'unknown',
    node: process.version,
    date: new Date().toISOString(),
    load: loadavg()[0] ?? NaN,
  };
}

/** All of one benchmark. */
export interface Report {
  readonly machine: Machine;
  readonly rounds: number;
  /** The contenders that took part, lamina first. */
  readonly contenders: readonly string[];
  /** Those asked for that this machine lacks, and why. */
  readonly missing: Readonly<Record<string, string>>;
  readonly results: readonly WorkloadResult[];
}

function failures(results: readonly WorkloadResult[]): string[] {
  return results.flatMap(({ name, failures: failed }) =>
    Object.entries(failed).map(([who, why]) => `failed: ${name} on ${who}: ${why}\n`),
  );
}

/** The report as text for a terminal. */
export function formatReport(report: Report): string {
  const { kernel, processors, model, node, date, load } = report.machine;
  const summaries = report.results.map(summarize);
  return [
    `${date}, Linux ${kernel}, ${processors} x ${model}, Node ${node}, load ${load.toFixed(2)} before\n`,
    `medians of ${report.rounds} rounds; ratios of medians, in brackets the least and greatest of one round\n\n`,
    formatTimes(summaries, report.contenders),
    '\n',
    formatDaemons(summaries, report.contenders),
    ...failures(report.results),
    ...Object.entries(report.missing).map(([name, reason]) => `missing: ${name}: ${reason}\n`),
  ].join('');
}

/** Writes the report with its summaries, whole or not at all. */
export async function writeJson(report: Report, path: string): Promise<void> {
  const part = `${path}.part`;
  const summaries = report.results.map(summarize);
  await writeFile(part, `${JSON.stringify({ ...report, summaries }, null, 2)}\n`);
  await rename(part, path);
}
