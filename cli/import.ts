import { Command } from 'commander';

import { enterUserNamespace } from '../runner/container/userns.ts';
import { type ByteSource } from '../runner/image/compression.ts';
import { CHANGE_INSTRUCTIONS, changeConfig } from '../runner/image/config-change.ts';
import { creationTime, sourceDateEpoch } from '../runner/image/creation-time.ts';
import { openImportSource } from '../runner/image/import-source.ts';
import { importArchive } from '../runner/image/import.ts';
import { parseLimits } from '../runner/image/limits.ts';
import { hostPlatform, parsePlatform } from '../runner/image/platform.ts';
import { fullName, parseReference } from '../runner/image/reference.ts';
import { openStore } from '../runner/image/store.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { complain, messageOf } from './complain.ts';
import { addLimitOption } from './limit-option.ts';
import { print } from './print.ts';
import { collect } from './container-flags/collect.ts';

interface Flags {
  readonly change: readonly string[];
  readonly message?: string;
  readonly platform?: string;
  readonly limit: readonly string[];
}

/** `lamina import`. */
export function createCommand(): Command {
  const command = new Command('import')
    .description("Make an image of one layer out of a root filesystem: a tar archive, as 'lamina export' writes it.")
    .argument('<source>', 'archive (also compressed), directory, http(s) URL, or - for standard input')
    .argument('[name]', 'name for the image; without it, it has its id alone')
    .option('-c, --change <instruction>', `set how it is started (repeatable): ${CHANGE_INSTRUCTIONS}`, collect, [])
    .option('-m, --message <text>', 'what the history is to say')
    .option('--platform <os/arch>', "what the programs in it run on (default: this machine's)")
    .option('-q, --quiet', 'accepted: only the id is printed');
  return addLimitOption(command).action(act);
}

async function act(source: string, name: string | undefined, flags: Flags): Promise<void> {
  const fullNameOf = name === undefined ? undefined : fullName(parseReference(name));
  await enterUserNamespace();
  const warnings = new Warnings();
  try {
    const id = await importArchive(openStore(), openSource(source, warnings), {
      name: fullNameOf,
      comment: flags.message ?? `Imported from ${source}`,
      created: creationTime(),
      platform: flags.platform === undefined ? hostPlatform() : parsePlatform(flags.platform),
      config: changeConfig({}, flags.change),
      limits: parseLimits(flags.limit),
      warnings,
    });
    print(`${id}\n`);
  } catch (error) {
    throw new Error(`cannot import ${source === '-' ? 'standard input' : source}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  warnings.lines().forEach(complain);
}

function openSource(source: string, warnings: Warnings): ByteSource {
  if (source !== '-') return openImportSource(source, { warnings, latest: sourceDateEpoch() });
  if (process.stdin.isTTY) throw new Error('it is a terminal; give a file, or pipe an archive in');
  return process.stdin;
}
