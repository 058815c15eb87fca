import { formatRatio, formatValue } from '../format.ts';
import { pairName, pairsOf } from '../pairs.ts';
import { type WorkloadSummary } from '../summary.ts';
import { largest, totalCells } from '../table.ts';
import { html, type Markup } from './markup.ts';

const ABSENT = '–';
/** Characters of a cell that is to stay on one line. */
const LINE = 40;

function table(head: readonly string[], rows: readonly (readonly string[])[]): Markup {
  return html`<div class="scroll">
    <table>
      <thead>
        <tr>
          ${head.map((cell) => html`<th>${cell}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          ([first = '', ...rest]) =>
            html`<tr>
              <th>${first}</th>
              ${rest.map((cell) => (cell.length > LINE ? html`<td class="text">${cell}</td>` : html`<td>${cell}</td>`))}
            </tr> `,
        )}
      </tbody>
    </table>
  </div> `;
}

/** Every median with the least and greatest of the rounds, and every ratio. */
export function numbersTable(summaries: readonly WorkloadSummary[], names: readonly string[]): Markup {
  const pairs = pairsOf(names).map(pairName);
  const rows = summaries.map(({ name, unit, contenders, ratios, description }) => [
    name,
    description,
    ...names.map((who) => {
      const found = contenders[who];
      if (found === undefined) return ABSENT;
      const [value, low, high] = [found.value, found.low, found.high].map((each) => formatValue(each, unit));
      // Of one round there is no more to say.
      return low === high ? `${value}` : `${value} (${low}..${high})`;
    }),
    ...pairs.map((pair) => (ratios[pair] === undefined ? ABSENT : formatRatio(ratios[pair]))),
  ]);
  return table(['workload', 'what', ...names, ...pairs], rows);
}

/** What daemons used while the time was taken. */
export function daemonsTable(summaries: readonly WorkloadSummary[]): Markup {
  const rows = summaries.flatMap(({ name, contenders }) =>
    Object.entries(contenders).flatMap(([who, { cpuSeconds, peakRssKib, requests }]) => {
      if (cpuSeconds === undefined || peakRssKib === undefined) return [];
      const memory = `${(peakRssKib / 1024).toFixed(0)} MiB`;
      return [[name, who, `${cpuSeconds.toFixed(2)} s`, memory, String(requests ?? ABSENT)]];
    }),
  );
  return table(['workload', 'daemon', 'CPU time', 'peak RSS', 'requests'], rows);
}

const ALL = Infinity;

/** Requests and system calls of the round that counted. */
export function countsTable(summaries: readonly WorkloadSummary[]): Markup {
  const rows = summaries.flatMap(({ name, counts }) =>
    Object.entries(counts).map(([who, { operations, requests, systemCalls }]) => [
      name,
      who,
      String(operations ?? ABSENT),
      ...totalCells(requests, operations),
      largest(requests ?? {}, ALL),
      ...totalCells(systemCalls, operations),
      largest(systemCalls ?? {}, ALL),
    ]),
  );
  const head = ['workload', 'daemon', 'operations', 'requests', 'each', 'by opcode', 'system calls', 'each', 'by name'];
  return rows.length === 0 ? html`<p>Not counted (<code>--count</code>).</p>` : table(head, rows);
}
