import { createReadStream, statSync } from 'node:fs';

import { Command } from 'commander';

import { enterUserNamespace } from '../runner/container/userns.ts';
import { type ByteSource } from '../runner/image/compression.ts';
import { parseLimits } from '../runner/image/limits.ts';
import { loadArchive, loadDirectory, type LoadedImage, type LoadOptions } from '../runner/image/load.ts';
import { hostPlatform, parsePlatform } from '../runner/image/platform.ts';
import { familiarName, fullName, parseReference } from '../runner/image/reference.ts';
import { openStore } from '../runner/image/store.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { complain, messageOf } from './complain.ts';
import { addLimitOption } from './limit-option.ts';
import { print } from './print.ts';

interface Options {
  readonly input?: string;
  readonly name?: string;
  readonly platform?: string;
  readonly quiet?: boolean;
  readonly limit: readonly string[];
}

export function createCommand(): Command {
  const command = new Command('load')
    .description(
      'Load images from a docker-archive or OCI archive (tar, also compressed), or an OCI or "dir:" directory.',
    )
    .option('-i, --input <file>', 'archive or directory to read (default: standard input)')
    .option('-n, --name <name>', "name for the archive's only image, in place of its own")
    .option('--platform <os/arch>', "image to take from an archive of several (default: this machine's)")
    .option('-q, --quiet', 'print image ids alone')
    .action(load);
  return addLimitOption(command);
}

async function load(options: Options): Promise<void> {
  await enterUserNamespace();
  const source = options.input ?? 'standard input';
  const warnings = new Warnings();
  try {
    const loaded = await loadFrom(options.input, {
      platform: options.platform === undefined ? hostPlatform() : parsePlatform(options.platform),
      limits: parseLimits(options.limit),
      warnings,
      ...(options.name === undefined ? {} : { name: fullName(parseReference(options.name)) }),
    });
    report(loaded, options.quiet === true);
  } catch (error) {
    throw new Error(`cannot load ${source}: ${messageOf(error)}`, { cause: error });
  }
  warnings.lines().forEach(complain);
}

function loadFrom(path: string | undefined, options: LoadOptions): Promise<LoadedImage[]> {
  const isDirectory = path !== undefined && path !== '-' && statSync(path).isDirectory();
  return isDirectory ? loadDirectory(openStore(), path, options) : loadArchive(openStore(), openArchive(path), options);
}

function openArchive(path: string | undefined): ByteSource {
  if (path !== undefined && path !== '-') {
    return createReadStream(path, { highWaterMark: 1 << 18 });
  }
  if (process.stdin.isTTY) throw new Error('it is a terminal; give an archive with -i FILE, or pipe one in');
  return process.stdin;
}

function report(loaded: readonly LoadedImage[], quiet: boolean): void {
  for (const { id, names } of loaded) {
    const lines = names.map((name) => `Loaded image: ${familiarName(name)}`);
    if (lines.length === 0) lines.push(`Loaded image ID: ${id}`);
    print(`${quiet ? id : lines.join('\n')}\n`);
  }
}
