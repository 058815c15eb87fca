import { Command } from 'commander';
import { VolumeStore } from '../runner/container/volume/volume-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { collect } from './container-flags/collect.ts';
import { print } from './print.ts';
import { listLines } from './table.ts';
import { VOLUME_FILTERS, listedVolume, volumeFilter } from './volume-rows.ts';

interface Flags {
  readonly quiet?: true;
  readonly filter?: readonly string[];
  readonly format?: string;
}

const LISTING = {
  titles: { Driver: 'DRIVER', Name: 'VOLUME NAME', Labels: 'LABELS', Mountpoint: 'MOUNTPOINT', Scope: 'SCOPE' },
  columns: ['Driver', 'Name'],
};

/** `lamina volume ls`. */
export function createCommand(): Command {
  return new Command('ls')
    .alias('list')
    .description('List volumes.')
    .option('-q, --quiet', 'names alone')
    .option('-f, --filter <key=value>', `only some: ${VOLUME_FILTERS}; can be repeated`, collect)
    .option('--format <format>', 'table, json, or a Go template')
    .action(act);
}

function act({ quiet, filter = [], format }: Flags): void {
  const volumes = new VolumeStore(storeRoot());
  const shown = volumes.list().filter(volumeFilter(filter, volumes));
  const lines = quiet === true ? shown.map(({ name }) => name) : listLines(shown.map(listedVolume), LISTING, format);
  print(lines.map((line) => `${line}\n`).join(''));
}
