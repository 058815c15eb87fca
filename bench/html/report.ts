import { pairName, pairsOf } from '../pairs.ts';
import { absences, machineLine, type Report } from '../report.ts';
import { overallRatio, summarize, type WorkloadSummary } from '../summary.ts';
import { ratioBars } from './bars.ts';
import { scalingCurves } from './curves.ts';
import { html, Markup } from './markup.ts';
import { STYLE } from './style.ts';
import { countsTable, daemonsTable, numbersTable } from './tables.ts';

function pairSection(pair: string, summaries: readonly WorkloadSummary[]): Markup {
  const overall = overallRatio(summaries, pair);
  if (!summaries.some(({ ratios }) => pair in ratios)) return html``;
  return html`<h2>${pair}</h2>
    <p class="note">
      Below 1, to the left, is better.
      ${overall === undefined ? '' : `Geometric mean of all times: ${overall.toFixed(2)}.`}
    </p>
    ${ratioBars(pair, summaries)}`;
}

function programSection(summary: WorkloadSummary): Markup {
  const names = Object.keys(summary.contenders);
  return html`<h2>${summary.name}</h2>
    ${numbersTable([summary], names)}`;
}

/** How far the rounds of one contender lie apart: the median over all of its workloads of greatest over least. */
function noise(summaries: readonly WorkloadSummary[], name: string): string {
  const spreads = summaries.flatMap(({ contenders }) => {
    const found = contenders[name];
    return found === undefined || found.low <= 0 ? [] : [found.high / found.low];
  });
  const sorted = spreads.sort((left, right) => left - right);
  return `${name} ${(sorted[sorted.length >> 1] ?? NaN).toFixed(2)}`;
}

function failureLines(report: Report): string[] {
  return report.results.flatMap(({ name, failures }) =>
    Object.entries(failures).map(([who, why]) => `failed: ${name} on ${who}: ${why}`),
  );
}

function notes(report: Report): Markup {
  const lines = [...failureLines(report), ...absences(report)];
  if (lines.length === 0) return html``;
  return html`<h2>Not measured</h2>
    <ul>
      ${lines.map((line) => html`<li>${line}</li>`)}
    </ul> `;
}

function header(report: Report, summaries: readonly WorkloadSummary[]): Markup {
  const sizes = Object.entries(report.sizes).map(([name, size]) => `${name}=${size}`);
  return html`<h1>lamina benchmark</h1>
    <p>${machineLine(report.machine)}${report.rootless ? ', in a user namespace' : ''}</p>
    <p class="note">
      Medians of ${report.rounds} rounds in turns; ratios of medians, with the least and greatest ratio of one round.
      Greatest over least of the rounds, in the middle of all workloads:
      ${report.contenders.map((name) => noise(summaries, name)).join(', ')}. Sizes: ${sizes.join(' ')}.
    </p>
    <p class="note">
      Overlayfs and lamina sync each file that they copy up before it gets its name; fuse-overlayfs never does, nor do
      the variants with volatile.
    </p> `;
}

/** The report as one page that needs nothing else. */
export function htmlReport(report: Report): string {
  const summaries = report.results.filter(({ skipped }) => skipped === undefined).map(summarize);
  const onUnions = summaries.filter(({ hasPrograms }) => !hasPrograms);
  const pairs = pairsOf(report.contenders).map(pairName);
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>lamina benchmark</title>
        <style>
          ${new Markup(STYLE)}
        </style>
      </head>
      <body>
        ${header(report, onUnions)}${pairs.map((pair) => pairSection(pair, onUnions))}
        <h2>Scaling</h2>
        <p class="note">Medians; lower is better.</p>
        ${scalingCurves(onUnions, report.contenders)}
        ${summaries.filter(({ hasPrograms }) => hasPrograms).map(programSection)}
        <h2>All numbers</h2>
        ${numbersTable(onUnions, report.contenders)}
        <h2>Daemons</h2>
        ${daemonsTable(onUnions)}
        <h2>Requests and system calls</h2>
        ${countsTable(summaries)} ${notes(report)}
      </body>
    </html> `.text;
}
