import { printable, printableJson } from './printable.ts';
import { type Row, Template } from './template.ts';

const GAP = 3;

/** Rows of cells as lines, the cells of a column below each other. */
export function alignRows(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd((widths[column] ?? 0) + GAP))
      .join('')
      .trimEnd(),
  );
}

/** How a list is printed: what there can be in a line, and what there is without --format. */
export interface Listing {
  /** Titles of columns, by field. */
  readonly titles: Readonly<Record<string, string>>;
  /** Fields that are shown by default. */
  readonly columns: readonly string[];
}

/**
 * The lines of a list, as docker's --format has it: a template, `json`, or `table` with or without a template, whose
 * cells are parted by tabs.
 *
 * @param isBare without titles.
 */
export function listLines(
  rows: readonly Row[],
  { titles, columns }: Listing,
  format = 'table',
  isBare = false,
): string[] {
  if (format === 'json') return rows.map((row) => printableJson(row));
  const [, template] = /^table(?:\s+(.*))?$/s.exec(format) ?? [];
  if (template === undefined && !format.startsWith('table')) return rows.map(lineMaker(format));
  if (template === undefined || template === '') {
    const heading = columns.map((column) => titles[column] ?? column.toUpperCase());
    return alignRows([
      ...(isBare ? [] : [heading]),
      ...rows.map((row) => columns.map((column) => printable(String(row[column])))),
    ]);
  }
  const line = lineMaker(template);
  const heading = isBare ? [] : [line(withTitles(rows[0] ?? {}, titles))];
  return alignRows([...heading, ...rows.map(line)].map((text) => text.split('\t')));
}

function lineMaker(format: string): (row: Row) => string {
  const template = new Template(format);
  return (row) => template.execute(row);
}

// The fields of a row, each with its title in place of its value.
function withTitles(row: Row, titles: Readonly<Record<string, string>>): Row {
  return { ...Object.fromEntries(Object.keys(row).map((field) => [field, field.toUpperCase()])), ...titles };
}
