import { Command } from 'commander';
import { argumentBytes, unmountAt } from '../fs/index.ts';

async function run(mountpoint: string, flags: { readonly lazy?: true }): Promise<void> {
  await unmountAt(argumentBytes(mountpoint), flags.lazy === true);
}

export function createCommand(): Command {
  return new Command('umount')
    .description('unmount a union, also one whose daemon has died')
    .argument('<mountpoint>', 'where it is mounted')
    .option('-l, --lazy', 'detach it though it is in use')
    .action(run);
}
