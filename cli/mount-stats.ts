import { argumentBytes, type MountStats, statsAt } from '../fs/index.ts';
import { print } from './print.ts';

function row(name: string, value: number | string): string {
  return `  ${name.padEnd(20)} ${String(value).padStart(14)}\n`;
}

function hitRate({ overlay }: MountStats): string {
  const lookups = overlay.cacheHits + overlay.cacheMisses;
  return lookups === 0 ? '-' : `${((100 * overlay.cacheHits) / lookups).toFixed(1)} %`;
}

function format(stats: MountStats): string {
  const requests = Object.entries(stats.requests).sort(([, left], [, right]) => right - left);
  const total = requests.reduce((sum, [, count]) => sum + count, 0);
  return [
    'requests of the kernel\n',
    ...requests.map(([name, count]) => row(name, count)),
    row('total', total),
    'union\n',
    ...Object.entries(stats.overlay).map(([name, value]) => row(name, value)),
    row('cache hit rate', hitRate(stats)),
  ].join('');
}

/** Prints the counters of a mount. */
export async function printMountStats(mountpoint: string, asJson: boolean): Promise<void> {
  const stats = await statsAt(argumentBytes(mountpoint));
  print(asJson ? `${JSON.stringify(stats, null, 2)}\n` : format(stats));
}
