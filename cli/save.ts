import { isatty } from 'node:tty';

import { Command, Option } from 'commander';

import { enterUserNamespace } from '../runner/container/userns.ts';
import { SAVE_FORMATS, type SaveFormat, saveImages } from '../runner/image/save.ts';
import { openStore } from '../runner/image/store.ts';
import { BROKEN_PIPE } from './print.ts';

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

const STANDARD_OUTPUT = 1;

async function save(images: readonly string[], { output, format, uncompressed }: Flags): Promise<void> {
  const isStandard = output === undefined || output === '-';
  if (isStandard && isatty(STANDARD_OUTPUT)) {
    throw new Error('cannot save to a terminal; give a file with -o FILE, or redirect the output');
  }
  await enterUserNamespace(true);
  try {
    const target = isStandard ? STANDARD_OUTPUT : output;
    await saveImages(openStore(), images, { format, uncompressed: uncompressed === true, output: target });
  } catch (error) {
    if (isStandard && (error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(BROKEN_PIPE);
    const where = isStandard ? 'standard output' : output;
    throw new Error(`cannot save ${images.join(', ')} to ${where}: ${messageOf(error)}`, { cause: error });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
