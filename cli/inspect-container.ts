import { Command } from 'commander';
import { type Container } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { inspectContainer } from '../runner/container/inspect.ts';
import { treeSize } from '../runner/container/tree-size.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';
import { printableJson } from './printable.ts';
import { Template } from './template.ts';

interface Options {
  readonly format?: string;
  readonly size?: true;
}

function describe(container: Container, { size }: Options): Readonly<Record<string, unknown>> {
  const described = inspectContainer(container);
  if (size !== true) return described;
  const own = treeSize(container.upper);
  const layers = container.config.layers.map((layer) => treeSize(Buffer.from(layer, 'latin1').toString('utf8')));
  return { ...described, SizeRw: own, SizeRootFs: layers.reduce((sum, bytes) => sum + bytes, own) };
}

function act(references: readonly string[], options: Options): void {
  const { format } = options;
  const template = format === undefined || format === 'json' ? undefined : new Template(format);
  const containers = new ContainerStore(storeRoot());
  const described: unknown[] = [];
  for (const reference of references) {
    try {
      described.push(describe(containers.find(reference), options));
    } catch (error) {
      complain(messageOf(error));
      process.exitCode = 1;
    }
  }
  if (template === undefined) print(`${printableJson(described, format === 'json' ? undefined : 4)}\n`);
  else for (const one of described) print(`${template.execute(one)}\n`);
}

const HELP = `
What is told has docker's names. Beside those, State.RootChange says how the container's root was changed: pivot_root, move
(MS_MOVE and chroot) or chroot.`;

/** @param name `inspect`. */
export function createCommand(name = 'inspect'): Command {
  return new Command(name)
    .description('Print all that is known of containers, as a JSON array.')
    .argument('<container...>', 'names, ids, or first digits of ids')
    .option('-f, --format <format>', "json, or a Go template for each: '{{.State.Status}} {{json .Config.Env}}'")
    .option('-s, --size', 'with the bytes of the files that it has changed, and of all that it has')
    .addHelpText('after', HELP)
    .action(act);
}
