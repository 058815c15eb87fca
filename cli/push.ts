import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { type BlobName } from '../runner/image/blob-sources.ts';
import { type Packing } from '../runner/image/compress.ts';
import { pushImage } from '../runner/image/push.ts';
import { familiarName, fullName, parseReference, type Reference } from '../runner/image/reference.ts';
import { openStore } from '../runner/image/store.ts';
import { messageOf } from './complain.ts';
import { print } from './print.ts';
import { PUSHED } from './progress.ts';
import { addRegistryOptions, openDestination, progressFor, type RegistryFlags } from './registry-flags.ts';

interface Flags extends RegistryFlags {
  readonly compress?: Packing;
  /** podman's word for it. */
  readonly compressionFormat?: Packing;
  readonly digestfile?: string;
}

/** `lamina push`. */
export function createCommand(): Command {
  const command = new Command('push')
    .description('Send an image of the store to a registry. What the registry has is not sent again.')
    .argument('<image>', 'name, id, or the first digits of the id')
    .argument('[destination]', "name for it in its registry (default: the image's own)")
    .addOption(
      new Option(
        '--compress <format>',
        'pack layers that are plain in the store, which gives the manifest another digest',
      ).choices(['gzip', 'zstd']),
    )
    .addOption(new Option('--compression-format <format>', 'as --compress').choices(['gzip', 'zstd']).hideHelp())
    .addOption(new Option('--remove-signatures', 'accepted: there are none').hideHelp())
    .option('--digestfile <file>', "write the manifest's digest to a file");
  return addRegistryOptions(command, 'print the name alone').action(push);
}

async function push(name: string, destination: string | undefined, flags: Flags): Promise<void> {
  await enterUserNamespace();
  const store = openStore();
  const image = store.resolve(name);
  const reference = destinationOf(name, destination);
  const progress = progressFor(flags, PUSHED);
  const { registry, target } = await openDestination(reference, flags);
  let manifest: BlobName;
  try {
    manifest = await pushImage(store, image, registry, target, {
      packing: flags.compress ?? flags.compressionFormat,
      progress: {
        begin: (digest, size) => progress.layer(digest, size),
        settle: (digest, how) => progress.settle(digest, how),
      },
    });
  } catch (error) {
    throw new Error(`cannot push ${name} to ${titleOf(reference)}: ${messageOf(error)}`, { cause: error });
  } finally {
    progress.end();
    await registry.close();
  }
  if (flags.digestfile !== undefined) writeFileSync(flags.digestfile, manifest.digest);
  report(reference, manifest, image.id, flags);
}

/** podman's `docker://` may stand before a destination. */
function destinationOf(name: string, destination: string | undefined): Reference {
  if (destination !== undefined) return parseReference(destination.replace(/^docker:\/\//, ''));
  if (/^(?:sha256:)?[0-9a-f]{64}$/.test(name))
    throw new Error(`${name} is no name to push to: give a destination, too`);
  return parseReference(name);
}

function titleOf(reference: Reference): string {
  const { domain, path, tag, digest } = reference;
  return tag === '' ? `${domain}/${path}@${digest ?? ''}` : familiarName(fullName(reference));
}

function report(reference: Reference, { digest, size }: BlobName, id: string, { quiet, json }: Flags): void {
  const name = titleOf(reference);
  if (json === true) print(`${JSON.stringify({ id, name, manifest: digest, size })}\n`);
  else print(quiet === true ? `${name}\n` : `${name} (${digest})\n`);
}
