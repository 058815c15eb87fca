import { Command, Option } from 'commander';
import { ContainerStore } from '../runner/container/container-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';

interface Options {
  readonly type?: 'container' | 'image';
  readonly format?: string;
  readonly size?: true;
}

/** Hands over to the command of the one kind; a name of both is the container's. */
async function act(references: readonly string[], { type, format, size }: Options): Promise<void> {
  const containers = new ContainerStore(storeRoot());
  const isContainer = type === undefined ? references.every((one) => containers.has(one)) : type === 'container';
  const { createCommand } = isContainer ? await import('./inspect-container.ts') : await import('./inspect-image.ts');
  const flags = [
    ...(format === undefined ? [] : ['--format', format]),
    ...(size === true && isContainer ? ['--size'] : []),
  ];
  await createCommand().parseAsync([...flags, '--', ...references], { from: 'user' });
}

/** `lamina inspect`. */
export function createCommand(): Command {
  return new Command('inspect')
    .description('Print all that is known of containers, or of images, as a JSON array.')
    .argument('<name...>', 'names, ids, or first digits of ids')
    .addOption(new Option('--type <type>', 'what the names are of').choices(['container', 'image']))
    .option('-f, --format <format>', "json, or a Go template for each: '{{.Id}} {{json .Config.Env}}'")
    .option('-s, --size', 'of containers: with the bytes of the files that it has changed, and of all that it has')
    .action(act);
}
