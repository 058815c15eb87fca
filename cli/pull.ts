import { Command, Option } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { type Image } from '../runner/image/image.ts';
import { familiarName, fullName, parseReference, type Reference } from '../runner/image/reference.ts';
import { openStore } from '../runner/image/store.ts';
import { addLimitOption } from './limit-option.ts';
import { print } from './print.ts';
import { type PullFlags, pullByName, withAllTags } from './pull-image.ts';
import { addRegistryOptions } from './registry-flags.ts';

/** `lamina pull`. */
export function createCommand(): Command {
  const command = new Command('pull')
    .description('Take images from a registry into the store. What the store has is not fetched again.')
    .argument('<image...>', 'names, with a tag or a digest: debian:12, ghcr.io/a/b@sha256:...')
    .option('--platform <os/arch>', "image to take of several (default: this machine's)")
    .option('--os <os>', 'as --platform, a part of it')
    .option('--arch <arch>', 'as --platform, a part of it')
    .option('--variant <variant>', 'as --platform, a part of it')
    .option('-a, --all-tags', 'all tags that the repository has')
    .addOption(new Option('--disable-content-trust', 'accepted for the sake of docker').hideHelp())
    .action(pull);
  return addLimitOption(addRegistryOptions(command, 'print image ids alone'));
}

interface Flags extends PullFlags {
  readonly allTags?: true;
}

async function pull(given: readonly string[], flags: Flags): Promise<void> {
  // What is no name is said before anything is pulled.
  given.forEach((name) => parseReference(name));
  if (flags.platform !== undefined && (flags.os ?? flags.arch ?? flags.variant) !== undefined)
    throw new Error('--platform does not go with --os, --arch and --variant: it says all of them');
  await enterUserNamespace();
  const names: string[] = [];
  for (const name of given) names.push(...(flags.allTags === true ? await withAllTags(name, flags) : [name]));
  const store = openStore();
  for (const name of names) {
    const { image, reference } = await pullByName(store, name, flags);
    report(image, reference, flags);
  }
}

function report(image: Image, reference: Reference, { quiet, json }: PullFlags): void {
  const name = reference.tag === '' ? `${reference.path}@${reference.digest ?? ''}` : familiarName(fullName(reference));
  if (json === true) print(`${JSON.stringify({ id: image.id, name, manifest: image.manifests[0] })}\n`);
  else print(quiet === true ? `${image.id}\n` : `${name} (${image.manifests[0] ?? ''})\n`);
}
