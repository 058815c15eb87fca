import { Command } from 'commander';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { VolumeStore } from '../runner/container/volume/volume-store.ts';
import { openStore } from '../runner/image/store.ts';
import { collect } from './container-flags/collect.ts';
import { print } from './print.ts';

interface Flags {
  readonly label?: readonly string[];
  readonly driver: string;
  readonly opt?: readonly string[];
  readonly ignore?: true;
}

/** `lamina volume create`. */
export function createCommand(): Command {
  return new Command('create')
    .description('Make a volume, and print its name; one that is there stays as it is.')
    .argument('[name]', 'letters, digits, "_", "." and "-" (default: a random one)')
    .option('-l, --label <name=value>', 'note something on it; can be repeated', collect)
    .option('-d, --driver <driver>', 'local is the only one', 'local')
    .option('-o, --opt <name=value>', 'options of the driver, of which local has none', collect)
    .option('--ignore', 'accepted for podman: a volume that is there is no error')
    .action(act);
}

async function act(name: string | undefined, { label = [], driver, opt = [] }: Flags): Promise<void> {
  if (driver !== 'local') throw new Error(`there is no volume driver ${JSON.stringify(driver)}, but local`);
  if (opt.length > 0) throw new Error(`volume driver local has no option ${JSON.stringify(opt[0])}`);
  await enterUserNamespace(true);
  const volume = new VolumeStore(openStore().root).create(name, Object.fromEntries(label.map(parseLabel)));
  print(`${volume.name}\n`);
}

function parseLabel(text: string): [name: string, value: string] {
  const [name = '', ...rest] = text.split('=');
  if (name === '') throw new Error(`label ${JSON.stringify(text)} is not NAME[=VALUE]`);
  return [name, rest.join('=')];
}
