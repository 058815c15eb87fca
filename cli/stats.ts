import { Command } from 'commander';
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

async function run(mountpoint: string, flags: { readonly json?: true }): Promise<void> {
  const stats = await statsAt(argumentBytes(mountpoint));
  print(flags.json === true ? `${JSON.stringify(stats, null, 2)}\n` : format(stats));
}

export function createCommand(): Command {
  return new Command('stats')
    .description("count a mount's requests, and its lookup cache's hits and misses")
    .argument('<mountpoint>', 'where it is mounted')
    .option('--json', 'print JSON')
    .action(run);
}
