import { type Report } from './report.ts';
import { formatRatio, formatTable } from './format.ts';
import { SUBJECT } from './pairs.ts';
import { type Ratio } from './statistics.ts';
import { summarize, type WorkloadSummary } from './summary.ts';

type Verdict = 'slower' | 'faster' | 'same';

/** How one of ours stands to one peer in an older report and in a newer. */
interface PairChange {
  readonly pair: string;
  readonly before: Ratio;
  readonly after: Ratio;
  readonly verdict: Verdict;
}

/** What became of one workload. */
export interface Change {
  readonly workload: string;
  readonly pairs: readonly PairChange[];
  readonly verdict: Verdict;
}

// Less than this is nobody's concern, however little the rounds differ.
const LEAST = 1.05;

/**
 * Beyond noise is what no round of one report reaches in the other. Ratios to a peer of the same run are compared, as the
 * machine may have been slower on one of the two days; where it was not the peer's doing, all pairs say the same.
 */
function judge(before: Ratio, after: Ratio): Verdict {
  if (after.low > before.high && after.ratio > before.ratio * LEAST) return 'slower';
  return after.high < before.low && after.ratio * LEAST < before.ratio ? 'faster' : 'same';
}

function agree(verdicts: readonly Verdict[]): Verdict {
  const [first = 'same'] = verdicts;
  return verdicts.every((verdict) => verdict === first) ? first : 'same';
}

function compareWorkload(before: WorkloadSummary, after: WorkloadSummary): Change {
  const pairs = Object.entries(after.ratios).flatMap(([pair, ratio]) => {
    const old = before.ratios[pair];
    return old === undefined ? [] : [{ pair, before: old, after: ratio, verdict: judge(old, ratio) }];
  });
  const ours = pairs.filter(({ pair }) => pair.startsWith(`${SUBJECT}/`));
  return { workload: after.name, pairs, verdict: agree(ours.map(({ verdict }) => verdict)) };
}

function checkComparable(older: Report, newer: Report): void {
  for (const { rounds } of [older, newer]) {
    if (rounds < 2) throw new Error('one round tells nothing of noise: compare reports of at least two');
  }
  const changed = Object.entries(newer.sizes).find(
    ([name, size]) => size !== (older.sizes as unknown as Record<string, number>)[name],
  );
  if (changed !== undefined) throw new Error(`the reports are of different work: ${changed[0]} was not ${changed[1]}`);
}

/** What changed in the workloads that both reports have. Throws where they cannot be compared. */
export function compareReports(older: Report, newer: Report): Change[] {
  checkComparable(older, newer);
  const before = new Map(older.results.map((result) => [result.name, summarize(result)]));
  return newer.results.flatMap((result) => {
    const old = before.get(result.name);
    return old === undefined ? [] : [compareWorkload(old, summarize(result))];
  });
}

export const isSlower = ({ verdict }: Change): boolean => verdict === 'slower';

/** The changes beyond noise as text, the slower first. */
export function formatChanges(changes: readonly Change[]): string {
  const changed = (['slower', 'faster'] as const).flatMap((verdict) =>
    changes.filter((one) => one.verdict === verdict),
  );
  const compared = changes.filter(({ pairs }) => pairs.length > 0).length;
  const rows = changed.flatMap(({ workload, verdict, pairs }) =>
    pairs.map(({ pair, before, after }) => [`${verdict}: ${workload}`, pair, formatRatio(before), formatRatio(after)]),
  );
  const summary = `${compared} workloads compared: ${changes.filter(isSlower).length} slower, ${changed.length - changes.filter(isSlower).length} faster beyond noise\n`;
  return rows.length === 0 ? summary : formatTable([['change', 'ratio', 'before', 'after'], ...rows]) + summary;
}
