import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { inspectImage } from '../runner/image/inspect.ts';
import { ImageSizes } from '../runner/image/sizes.ts';
import { openStore } from '../runner/image/store.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';
import { printableJson } from './printable.ts';
import { Template } from './template.ts';

/** `lamina image inspect`. */
export function createCommand(): Command {
  return new Command('inspect')
    .description('Print all that is known of images, as a JSON array.')
    .argument('<image...>', 'names, ids or beginnings of ids')
    .option('-f, --format <format>', "json, or a Go template for each: '{{.Id}} {{json .RootFS.Layers}}'")
    .action(inspect);
}

async function inspect(references: readonly string[], { format }: { readonly format?: string }): Promise<void> {
  const template = format === undefined || format === 'json' ? undefined : new Template(format);
  await enterUserNamespace(true);
  const store = openStore();
  const sizes = new ImageSizes(store);
  const described = references.flatMap((reference) => {
    try {
      const image = store.describe(reference);
      return [inspectImage(image, sizes.of(image), sizes.layersOf(image))];
    } catch (error) {
      complain(messageOf(error));
      process.exitCode = 1;
      return [];
    }
  });
  if (template === undefined) print(`${printableJson(described, format === 'json' ? undefined : 4)}\n`);
  else for (const image of described) print(`${template.execute(image)}\n`);
}
