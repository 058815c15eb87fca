import { Command, Option } from 'commander';

import { enterUserNamespace } from '../runner/container/userns.ts';
import { SAVE_FORMATS, type SaveFormat, saveImages } from '../runner/image/save.ts';
import { openStore } from '../runner/image/store.ts';
import { refuseTerminal, writeArchive } from './archive-output.ts';

interface Flags {
  readonly output?: string;
  readonly format: SaveFormat;
  readonly uncompressed?: boolean;
}

/** `lamina save`. */
export function createCommand(): Command {
  return new Command('save')
    .description('Write images to an archive or a directory. Several names make an archive of several images.')
    .argument('<image...>', 'names, ids or beginnings of ids')
    .option('-o, --output <path>', 'file, or for a -dir format directory, to write (default: standard output)')
    .addOption(new Option('--format <format>', 'what to write').choices(SAVE_FORMATS).default('docker-archive'))
    .option('--uncompressed', 'write layers as plain tar archives, which gives OCI images other digests')
    .option('-m, --multi-image-archive', 'accepted: every name is an image, as in docker')
    .option('-q, --quiet', 'accepted: nothing is printed')
    .action((images: readonly string[], flags: Flags) => save(images, flags));
}

async function save(images: readonly string[], { output, format, uncompressed }: Flags): Promise<void> {
  refuseTerminal('save', output);
  await enterUserNamespace(true);
  await writeArchive(`save ${images.join(', ')}`, output, (target) =>
    saveImages(openStore(), images, { format, uncompressed: uncompressed === true, output: target }),
  );
}
