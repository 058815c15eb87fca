import { formatValue } from '../format.ts';
import { type WorkloadSummary } from '../summary.ts';
import { type Point } from '../workload.ts';
import { html, type Markup } from './markup.ts';
import { bounds, LogScale, ticks } from './scale.ts';

const LEFT = 80;
const TOP = 12;
const WIDTH = 340;
const HEIGHT = 200;
const RIGHT = 130;
const BOTTOM = 42;

interface Measured {
  readonly point: Point;
  readonly summary: WorkloadSummary;
}

/** The workloads of each series. */
function seriesOf(summaries: readonly WorkloadSummary[]): Map<string, Measured[]> {
  const series = new Map<string, Measured[]>();
  for (const summary of summaries) {
    const { point } = summary;
    if (point === undefined) continue;
    const list = series.get(point.series) ?? [];
    series.set(
      point.series,
      [...list, { point, summary }].sort((left, right) => left.point.x - right.point.x),
    );
  }
  return series;
}

interface Chart {
  readonly x: LogScale;
  readonly y: LogScale;
}

function curve(name: string, index: number, measured: readonly Measured[], { x, y }: Chart): Markup {
  const places = measured.flatMap(({ point, summary }) => {
    const found = summary.contenders[name];
    if (found === undefined) return [];
    const title = `${name}, ${point.x} ${point.axis}: ${formatValue(found.value, summary.unit)}`;
    return [{ x: LEFT + x.at(point.x), y: TOP + HEIGHT - y.at(found.value), title }];
  });
  const last = places.at(-1);
  if (last === undefined) return html``;
  const line = places.map((place) => `${place.x},${place.y}`).join(' ');
  const dots = places.map(
    (place) => html`<circle cx="${place.x}" cy="${place.y}" r="4"><title>${place.title}</title></circle>`,
  );
  return html`<g class="curve c${index % 8}"><polyline points="${line}" />${dots}</g>
    <g class="key c${index % 8}"
      ><circle cx="${LEFT + WIDTH + 16}" cy="${TOP + 8 + index * 18}" r="4" /><text
        x="${LEFT + WIDTH + 26}"
        y="${TOP + 12 + index * 18}"
        >${name}</text
      ></g
    > `;
}

function axes(measured: readonly Measured[], [least, greatest]: readonly [number, number], { x, y }: Chart): Markup {
  const unit = measured[0]?.summary.unit ?? 'seconds';
  const across = ticks(least, greatest).map((tick) => {
    const at = TOP + HEIGHT - y.at(tick);
    return html`<path class="grid" d="M${LEFT} ${at}h${WIDTH}" /><text class="label" x="${LEFT - 8}" y="${at + 4}"
        >${formatValue(tick, unit)}</text
      > `;
  });
  const along = measured.map(
    ({ point }) => html`<text class="tick" x="${LEFT + x.at(point.x)}" y="${TOP + HEIGHT + 18}">${point.x}</text>`,
  );
  const name = measured[0]?.point.axis ?? '';
  return html`${across}${along}<text class="tick" x="${LEFT + WIDTH / 2}" y="${TOP + HEIGHT + 36}">${name}</text> `;
}

function chart(series: string, measured: readonly Measured[], names: readonly string[]): Markup {
  const values = measured.flatMap(({ summary }) => Object.values(summary.contenders).map(({ value }) => value));
  const points = measured.map(({ point }) => point.x);
  const range = bounds(values);
  const [first, last] = [Math.min(...points), Math.max(...points)];
  const scales = { x: new LogScale(first, last > first ? last : first * 2, WIDTH), y: new LogScale(...range, HEIGHT) };
  const curves = names.map((name, index) => curve(name, index, measured, scales));
  return html`<figure>
    <figcaption>${series}</figcaption>
    <svg viewBox="0 0 ${LEFT + WIDTH + RIGHT} ${TOP + HEIGHT + BOTTOM}" role="img" aria-label="${series}">
      ${axes(measured, range, scales)}${curves}
    </svg>
  </figure> `;
}

/** One chart a series of workloads: medians over what grows, both on logarithmic axes. Less is better. */
export function scalingCurves(summaries: readonly WorkloadSummary[], names: readonly string[]): Markup[] {
  return [...seriesOf(summaries)].map(([series, measured]) => chart(series, measured, names));
}
