import { type Ratio } from './statistics.ts';
import { type Unit } from './workload.ts';

/** A duration to three digits, in the unit that suits it. */
export function formatSeconds(seconds: number): string {
  if (seconds < 1e-3) return `${(seconds * 1e6).toPrecision(3)} us`;
  if (seconds < 1) return `${(seconds * 1e3).toPrecision(3)} ms`;
  return `${seconds.toFixed(seconds < 100 ? 2 : 0)} s`;
}

function formatBytes(bytes: number): string {
  if (Math.abs(bytes) < 1 << 20) return `${bytes.toFixed(0)} B`;
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

/** A number in a workload's unit. */
export function formatValue(value: number, unit: Unit): string {
  if (unit === 'bytes') return formatBytes(value);
  return unit === 'seconds' ? formatSeconds(value) : value.toFixed(2);
}

/** A ratio and its spread over the rounds. Two decimals, but of small ones two digits. */
export function formatRatio({ ratio, low, high }: Ratio): string {
  const text = (value: number): string => (value >= 0.1 ? value.toFixed(2) : value.toPrecision(2));
  return `${text(ratio)} (${text(low)}..${text(high)})`;
}

/** Columns as wide as they need: the first to the left, the others to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  const cell = (text: string, column: number): string =>
    column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  return rows.map((row) => `${row.map(cell).join('  ').trimEnd()}\n`).join('');
}
