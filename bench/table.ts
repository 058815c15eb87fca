import { type Counts } from './count.ts';
import { formatRatio, formatTable, formatValue } from './format.ts';
import { pairName, pairsOf, SUBJECT } from './pairs.ts';
import { type ContenderSummary, overallRatio, type WorkloadSummary } from './summary.ts';

const ABSENT = '-';

function timeRow(summary: WorkloadSummary, names: readonly string[], pairs: readonly string[]): string[] {
  const numbers = names.map((name) => summary.contenders[name]?.value);
  const ratios = pairs.map((pair) => summary.ratios[pair]);
  return [
    summary.name,
    ...numbers.map((value) => (value === undefined ? ABSENT : formatValue(value, summary.unit))),
    ...ratios.map((ratio) => (ratio === undefined ? ABSENT : formatRatio(ratio))),
  ];
}

/** Medians, and the ratios of pairs. `names` are the contenders in the order of the columns. */
export function formatTimes(summaries: readonly WorkloadSummary[], names: readonly string[]): string {
  const pairs = pairsOf(names).map(pairName);
  const overall = pairs.map((pair) => overallRatio(summaries, pair)?.toFixed(2) ?? ABSENT);
  return formatTable([
    ['workload', ...names, ...pairs],
    ...summaries.map((summary) => timeRow(summary, names, pairs)),
    ['geometric mean', ...names.map(() => ''), ...overall],
  ]);
}

/** One workload that has programs of its own: a row each. */
export function formatPrograms(summary: WorkloadSummary): string {
  const rows = Object.entries(summary.contenders).map(([name, { value }]) => {
    const ratio = summary.ratios[pairName({ ours: SUBJECT, theirs: name })];
    return [name, formatValue(value, summary.unit), ratio === undefined ? ABSENT : formatRatio(ratio)];
  });
  return formatTable([[summary.name, 'median', `${SUBJECT}/it`], ...rows]);
}

/** What workloads tell besides their one number. */
export function formatDetails(summaries: readonly WorkloadSummary[]): string {
  return summaries
    .flatMap(({ name, unit, contenders }) =>
      Object.entries(contenders).flatMap(([who, { details }]) => {
        const parts = Object.entries(details ?? {}).map(([what, value]) => `${what} ${formatValue(value, unit)}`);
        return parts.length === 0 ? [] : [`${name}, ${who}: ${parts.join(', ')}\n`];
      }),
    )
    .join('');
}

function daemonCells(summary: ContenderSummary | undefined): string[] {
  const { cpuSeconds, peakRssKib } = summary ?? {};
  return [
    cpuSeconds === undefined ? ABSENT : `${cpuSeconds.toFixed(2)} s`,
    peakRssKib === undefined ? ABSENT : `${(peakRssKib / 1024).toFixed(0)} MiB`,
  ];
}

/** What the daemons used: CPU time during the measured part, peak memory, and requests where they are counted. */
export function formatDaemons(summaries: readonly WorkloadSummary[], names: readonly string[]): string {
  const serving = names.filter((name) => summaries.some((one) => one.contenders[name]?.cpuSeconds !== undefined));
  const rows = summaries.map(({ name, contenders }) => [
    name,
    ...serving.flatMap((who) => daemonCells(contenders[who])),
    String(contenders[SUBJECT]?.requests ?? ABSENT),
  ]);
  return formatTable([
    ['workload', ...serving.flatMap((who) => [`${who} CPU`, 'peak RSS']), `${SUBJECT} requests`],
    ...rows,
  ]);
}

const SHOWN = 4;

/** The largest counts first, and how many there are in all. */
export function largest(counts: Readonly<Record<string, number>>, shown = SHOWN): string {
  const sorted = Object.entries(counts).sort(([, left], [, right]) => right - left);
  const rest = sorted.length > shown ? ', ...' : '';
  return sorted
    .slice(0, shown)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ')
    .concat(rest);
}

/** A total, and how much that is an operation. */
export function totalCells(counts: Readonly<Record<string, number>> | undefined, operations?: number): string[] {
  if (counts === undefined) return [ABSENT, ABSENT];
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return [String(total), operations === undefined ? ABSENT : (total / operations).toFixed(2)];
}

function countRow(workload: string, who: string, { operations, requests, systemCalls }: Counts): string[] {
  return [
    `${workload} ${who}`,
    String(operations ?? ABSENT),
    ...totalCells(requests, operations),
    ...totalCells(systemCalls, operations),
    `${largest(requests ?? {})} | ${largest(systemCalls ?? {})}`,
  ];
}

/** Requests and system calls of the extra round; empty where nothing was counted. */
export function formatCounts(summaries: readonly WorkloadSummary[]): string {
  const rows = summaries.flatMap(({ name, counts }) =>
    Object.entries(counts).map(([who, count]) => countRow(name, who, count)),
  );
  if (rows.length === 0) return '';
  return formatTable([['counted', 'operations', 'requests', 'each', 'system calls', 'each', 'most frequent'], ...rows]);
}
