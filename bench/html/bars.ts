import { formatRatio } from '../format.ts';
import { type Ratio } from '../statistics.ts';
import { type WorkloadSummary } from '../summary.ts';
import { html, type Markup } from './markup.ts';
import { bounds, LogScale, ticks } from './scale.ts';

const LABEL = 150;
const WIDTH = 620;
const BAR = 16;
const GAP = 6;
const TOP = 24;
const RIGHT = 150;

interface Row {
  readonly name: string;
  readonly ratio: Ratio;
}

function bar({ name, ratio }: Row, index: number, scale: LogScale): Markup {
  const [one, end] = [scale.at(1), scale.at(ratio.ratio)];
  const y = TOP + index * (BAR + GAP);
  const middle = y + BAR / 2;
  const [low, high] = [scale.at(ratio.low), scale.at(ratio.high)];
  return html`<g
    ><title>${name}: ${formatRatio(ratio)}</title>
    <text class="label" x="${LABEL - 8}" y="${middle + 4}">${name}</text>
    <rect
      class="${ratio.ratio <= 1 ? 'faster' : 'slower'}"
      x="${LABEL + Math.min(one, end)}"
      y="${y}"
      width="${Math.max(1, Math.abs(end - one))}"
      height="${BAR}"
    />
    <path
      class="spread"
      d="M${LABEL + low} ${middle}H${LABEL + high}M${LABEL + low} ${middle - 4}v8M${LABEL + high} ${middle - 4}v8"
    />
    <text class="number" x="${LABEL + WIDTH + 8}" y="${middle + 4}">${formatRatio(ratio)}</text></g
  > `;
}

function axis(least: number, greatest: number, scale: LogScale, height: number): Markup[] {
  return ticks(least, greatest).map((tick) => {
    const x = LABEL + scale.at(tick);
    return html`<path class="${tick === 1 ? 'one' : 'grid'}" d="M${x} ${TOP - 6}V${height}" /><text
        class="tick"
        x="${x}"
        y="${TOP - 10}"
        >${tick}</text
      > `;
  });
}

/** One bar a workload: how far from 1 the pair's ratio is, on a logarithmic axis, with the spread over the rounds. */
export function ratioBars(pair: string, summaries: readonly WorkloadSummary[]): Markup {
  const rows = summaries.flatMap(({ name, ratios }) => {
    const ratio = ratios[pair];
    return ratio === undefined ? [] : [{ name, ratio }];
  });
  const [least, greatest] = bounds(rows.flatMap(({ ratio }) => [1, ratio.low, ratio.high]));
  const scale = new LogScale(least, greatest, WIDTH);
  const height = TOP + rows.length * (BAR + GAP);
  return html`<svg viewBox="0 0 ${LABEL + WIDTH + RIGHT} ${height + 4}" role="img" aria-label="ratios of ${pair}">
    ${axis(least, greatest, scale, height)}${rows.map((row, index) => bar(row, index, scale))}
  </svg> `;
}
