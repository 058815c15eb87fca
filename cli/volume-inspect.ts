import { Command } from 'commander';
import { VolumeStore } from '../runner/container/volume/volume-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';
import { printableJson } from './printable.ts';
import { type Row, Template } from './template.ts';
import { inspectedVolume } from './volume-rows.ts';

/** `lamina volume inspect`. */
export function createCommand(): Command {
  return new Command('inspect')
    .description('Show what is known of volumes, as JSON.')
    .argument('<volume...>', 'names, or first characters of names')
    .option('-f, --format <template>', 'a Go template, for each')
    .action(act);
}

function act(references: readonly string[], { format }: { readonly format?: string }): void {
  const volumes = new VolumeStore(storeRoot());
  const rows: Row[] = [];
  for (const reference of references) {
    try {
      rows.push(inspectedVolume(volumes.get(reference)));
    } catch (error) {
      complain(messageOf(error));
      process.exitCode = 1;
    }
  }
  if (format === undefined) print(`${printableJson(rows, 4)}\n`);
  else for (const row of rows) print(`${new Template(format).execute(row)}\n`);
}
