import { Command } from 'commander';

import { ContainerStore } from '../runner/container/container-store.ts';
import { exportContainer, exportedProcess } from '../runner/container/export.ts';
import { enterNamespacesOf, enterUserNamespace } from '../runner/container/userns.ts';
import { writeOutput } from '../runner/image/archive/output.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { refuseTerminal, writeArchive } from './archive-output.ts';
import { complain } from './complain.ts';

/** `lamina export`. */
export function createCommand(): Command {
  return new Command('export')
    .description(
      "Write a container's filesystem, as it is now, to a tar archive. 'lamina import' makes an image of it.",
    )
    .argument('<container>', 'name, id, or first digits of the id')
    .option('-o, --output <file>', 'file to write (default: standard output)')
    .action((reference: string, { output }: { readonly output?: string }) => act(reference, output));
}

async function act(reference: string, output: string | undefined): Promise<void> {
  refuseTerminal('export', output);
  const running = exportedProcess(new ContainerStore(storeRoot()).find(reference));
  if (running === undefined) await enterUserNamespace(true);
  else enterNamespacesOf(running);
  const container = new ContainerStore(storeRoot()).find(reference);
  const warnings = new Warnings();
  await writeArchive(`export ${reference}`, output, (target) =>
    writeOutput(target, exportContainer(container, { warnings })),
  );
  warnings.lines().forEach(complain);
}
