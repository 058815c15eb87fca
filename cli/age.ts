const STEPS: readonly (readonly [seconds: number, unit: string])[] = [
  [365 * 86400, 'year'],
  [30 * 86400, 'month'],
  [7 * 86400, 'week'],
  [86400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
];

/** How long ago a time was: `3 days ago`; `N/A` where it is not known. */
export function age(created: string | undefined): string {
  const since = (Date.now() - Date.parse(created ?? '')) / 1000;
  if (!Number.isFinite(since)) return 'N/A';
  const [seconds, unit] = STEPS.find(([step]) => since >= step) ?? [1, 'second'];
  const count = Math.max(0, Math.floor(since / seconds));
  return `${count} ${unit}${count === 1 ? '' : 's'} ago`;
}

/** A time as docker's lists have it: `2026-11-24 11:58:45 +0000 UTC`. */
export function dateOf(created: string | undefined): string {
  const time = Date.parse(created ?? '');
  if (!Number.isFinite(time)) return 'N/A';
  return `${new Date(time).toISOString().slice(0, 19).replace('T', ' ')} +0000 UTC`;
}
