import { rm } from 'node:fs/promises';
import { Command } from 'commander';
import { argumentBytes, layerIndexPath, writeLayerIndex } from '../fs/index.ts';

async function run(layers: readonly string[], flags: { readonly remove?: true }): Promise<void> {
  for (const layer of layers.map(argumentBytes)) {
    if (flags.remove === true) await rm(Buffer.from(await layerIndexPath(layer), 'latin1'), { force: true });
    else await writeLayerIndex(layer);
  }
}

const HELP = `
The index of DIR is the file DIR.lamina-index: what is in the layer, but for the files' data. A mount with DIR as a lower
layer then lists and looks up without a system call in it, and a hundred layers cost as much as one. It is used by itself
(-o layer_index=off does without) where it belongs to you or to root, nobody else may write it, and DIR is the directory
that it was made of.

A layer that has one must not change: a file that was changed all the same is noticed when it is opened, names that came
or went are not. Index it anew after a change, or take the index away (--remove).`;

export function createCommand(): Command {
  return new Command('index')
    .description('write down what is in lower layers, which makes unions of them faster')
    .argument('<dir...>', 'directories that are lower layers, and do not change')
    .option('--remove', 'take their indexes away')
    .addHelpText('after', HELP)
    .action(run);
}
