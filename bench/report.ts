import { readFile, rename, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { type WorkloadResult } from './benchmark.ts';
import { type Sizes } from './sizes.ts';
import { summarize, type WorkloadSummary } from './summary.ts';
import { formatCounts, formatDaemons, formatDetails, formatPrograms, formatTimes } from './table.ts';

/** Where and when it was measured: numbers mean little without. */
export interface Machine {
  readonly kernel: string;
  readonly processors: number;
  readonly model: string;
  readonly memory: number;
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
    memory: totalmem(),
    node: process.version,
    date: new Date().toISOString(),
    load: loadavg()[0] ?? NaN,
  };
}

/** All of one benchmark. */
export interface Report {
  readonly machine: Machine;
  readonly rounds: number;
  readonly rootless: boolean;
  readonly sizes: Sizes;
  /** The contenders that took part, lamina first. */
  readonly contenders: readonly string[];
  /** What this machine lacks of what was asked for, and why. */
  readonly missing: Readonly<Record<string, string>>;
  readonly results: readonly WorkloadResult[];
}

function failures(results: readonly WorkloadResult[]): string[] {
  return results.flatMap(({ name, failures: failed }) =>
    Object.entries(failed).map(([who, why]) => `failed: ${name} on ${who}: ${why}\n`),
  );
}

/** What was not measured, and why, a line each. */
export function absences(report: Report): string[] {
  return [
    ...Object.entries(report.missing).map(([name, reason]) => `missing: ${name}: ${reason}`),
    ...report.results.flatMap(({ name, skipped }) => (skipped === undefined ? [] : [`skipped: ${name}: ${skipped}`])),
    ...report.results.flatMap(({ name, missing }) =>
      Object.entries(missing).map(([who, why]) => `missing: ${who} in ${name}: ${why}`),
    ),
  ];
}

/** The machine in one line. */
export function machineLine({ kernel, processors, model, memory, node, date, load }: Machine): string {
  const gibibytes = (memory / 2 ** 30).toFixed(0);
  return `${date}, Linux ${kernel}, ${processors} x ${model}, ${gibibytes} GiB, Node ${node}, load ${load.toFixed(2)} before`;
}

const section = (text: string): string => (text === '' ? '' : `${text}\n`);

/** The report as text for a terminal. */
export function formatReport(report: Report): string {
  const summaries = report.results.filter(({ skipped }) => skipped === undefined).map(summarize);
  const onUnions = summaries.filter(({ hasPrograms }) => !hasPrograms);
  return [
    `${machineLine(report.machine)}${report.rootless ? ', in a user namespace' : ''}\n`,
    `medians of ${report.rounds} rounds; ratios of medians, in brackets the least and greatest of one round\n\n`,
    onUnions.length === 0 ? '' : section(formatTimes(onUnions, report.contenders)),
    ...summaries.filter(({ hasPrograms }) => hasPrograms).map((summary) => section(formatPrograms(summary))),
    section(formatDetails(summaries)),
    onUnions.length === 0 ? '' : section(formatDaemons(onUnions, report.contenders)),
    section(formatCounts(summaries)),
    ...failures(report.results),
    ...absences(report).map((line) => `${line}\n`),
  ].join('');
}

/** What a report in a file holds besides its measurements. */
interface StoredReport extends Report {
  readonly summaries: readonly WorkloadSummary[];
}

/** Writes a file whole or not at all. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const part = `${path}.part`;
  await writeFile(part, text);
  await rename(part, path);
}

/** Writes the report with its summaries. */
export async function writeJson(report: Report, path: string): Promise<void> {
  const stored: StoredReport = { ...report, summaries: report.results.map(summarize) };
  await writeWhole(path, `${JSON.stringify(stored, null, 2)}\n`);
}

function isReport(value: unknown): value is Report {
  if (typeof value !== 'object' || value === null) return false;
  const { results, rounds, sizes } = value as Partial<Record<keyof Report, unknown>>;
  return Array.isArray(results) && typeof rounds === 'number' && typeof sizes === 'object' && sizes !== null;
}

/** Reads what `writeJson` wrote. */
export async function readReport(path: string): Promise<Report> {
  const value: unknown = JSON.parse(await readFile(path, 'utf8'));
  if (!isReport(value)) throw new Error(`${path} is no report that --json wrote`);
  return value;
}
