import { type ContenderSummary, overallRatio, SUBJECT, type WorkloadSummary } from './summary.ts';
import { type Ratio } from './statistics.ts';

const ABSENT = '-';

/** A duration to three digits, in the unit that suits it. */
export function formatSeconds(seconds: number): string {
  if (seconds < 1) return `${(seconds * 1e3).toPrecision(3)} ms`;
  return `${seconds.toFixed(seconds < 100 ? 2 : 0)} s`;
}

/** A ratio and its spread over the rounds. */
export function formatRatio({ ratio, low, high }: Ratio): string {
  return `${ratio.toFixed(2)} (${low.toFixed(2)}..${high.toFixed(2)})`;
}

/** Columns as wide as they need: the first to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  const cell = (text: string, column: number): string =>
    column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  return rows.map((row) => `${row.map(cell).join('  ').trimEnd()}\n`).join('');
}

function timeRow(summary: WorkloadSummary, names: readonly string[], peers: readonly string[]): string[] {
  const times = names.map((name) => summary.contenders[name]?.seconds);
  const ratios = peers.map((peer) => summary.ratios[peer]);
  return [
    summary.name,
    ...times.map((seconds) => (seconds === undefined ? ABSENT : formatSeconds(seconds))),
    ...ratios.map((ratio) => (ratio === undefined ? ABSENT : formatRatio(ratio))),
  ];
}

/** Medians of the times, and lamina's over each peer's. `names` are the contenders in the order of the columns. */
export function formatTimes(summaries: readonly WorkloadSummary[], names: readonly string[]): string {
  const peers = names.filter((name) => name !== SUBJECT);
  const overall = peers.map((peer) => overallRatio(summaries, peer)?.toFixed(2) ?? ABSENT);
  return formatTable([
    ['workload', ...names, ...peers.map((peer) => `${SUBJECT}/${peer}`)],
    ...summaries.map((summary) => timeRow(summary, names, peers)),
    ['geometric mean', ...names.map(() => ''), ...overall],
  ]);
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
