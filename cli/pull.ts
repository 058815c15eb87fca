import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { type Image } from '../runner/image/image.ts';
import { parseLimits } from '../runner/image/limits.ts';
import { hostPlatform, parsePlatform } from '../runner/image/platform.ts';
import { pullImage } from '../runner/image/pull.ts';
import { familiarName, fullName, parseReference, type Reference } from '../runner/image/reference.ts';
import { openStore, type Store } from '../runner/image/store.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { complain, messageOf } from './complain.ts';
import { addLimitOption } from './limit-option.ts';
import { print } from './print.ts';
import { PULLED } from './progress.ts';
import { addRegistryOptions, openRegistry, progressFor, type RegistryFlags } from './registry-flags.ts';

interface Flags extends RegistryFlags {
  readonly platform?: string;
  readonly limit: readonly string[];
}

/** `lamina pull`. */
export function createCommand(): Command {
  const command = new Command('pull')
    .description('Take images from a registry into the store. What the store has is not fetched again.')
    .argument('<image...>', 'names, with a tag or a digest: debian:12, ghcr.io/a/b@sha256:...')
    .option('--platform <os/arch>', "image to take of several (default: this machine's)")
    .action(pull);
  return addLimitOption(addRegistryOptions(command, 'print image ids alone'));
}

async function pull(names: readonly string[], flags: Flags): Promise<void> {
  const references = names.map(parseReference);
  await enterUserNamespace();
  const store = openStore();
  for (const [at, reference] of references.entries()) {
    const image = await pullOne(store, names[at] ?? '', reference, flags);
    report(image, reference, flags);
  }
}

async function pullOne(store: Store, name: string, reference: Reference, flags: Flags): Promise<Image> {
  const warnings = new Warnings();
  const progress = progressFor(flags, PULLED);
  const registry = await openRegistry(reference, flags);
  try {
    return await pullImage(store, registry, reference, {
      platform: flags.platform === undefined ? hostPlatform() : parsePlatform(flags.platform),
      limits: parseLimits(flags.limit),
      warnings,
      progress: {
        begin: (digest, size) => progress.layer(digest, size),
        settle: (digest) => progress.settle(digest, 'exists'),
      },
    });
  } catch (error) {
    throw new Error(`cannot pull ${name}: ${messageOf(error)}`, { cause: error });
  } finally {
    progress.end();
    await registry.close();
    warnings.lines().forEach(complain);
  }
}

function report(image: Image, reference: Reference, { quiet, json }: Flags): void {
  const name = reference.tag === '' ? `${reference.path}@${reference.digest ?? ''}` : familiarName(fullName(reference));
  if (json === true) print(`${JSON.stringify({ id: image.id, name, manifest: image.manifests[0] })}\n`);
  else print(quiet === true ? `${image.id}\n` : `${name} (${image.manifests[0] ?? ''})\n`);
}
