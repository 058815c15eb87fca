import { Command } from 'commander';
import { type Branch, listMounts, type RegisteredMount, toText } from '../fs/index.ts';
import { print } from './print.ts';

/** As AUFS writes it, `PATH=rw` and `PATH=ro+wh`; a data-only layer, which AUFS does not know, is `PATH=ro`. */
function describeBranch({ path, permission }: Branch): string {
  return `  ${toText(path)}=${permission}${permission === 'ro' ? ' (data only)' : ''}\n`;
}

/** A mount with its branches, the topmost first. */
function describe(mount: RegisteredMount): string {
  const mountpoint = toText(mount.mountpoint);
  const state = mount.alive ? `pid ${mount.pid}` : `its daemon has died: lamina umount ${mountpoint}`;
  const branches = mount.branches.map(describeBranch);
  return `${mountpoint} (${state})\n${branches.join('')}`;
}

function toJson(mount: RegisteredMount): object {
  const { pid, alive, readOnly, device } = mount;
  const branches = mount.branches.map(({ path, permission }) => ({ path: toText(path), permission }));
  return { mountpoint: toText(mount.mountpoint), device, pid, alive, readOnly, branches };
}

async function run(flags: { readonly json?: true }): Promise<void> {
  const mounts = await listMounts();
  const text = flags.json === true ? `${JSON.stringify(mounts.map(toJson), null, 2)}\n` : mounts.map(describe).join('');
  print(text);
}

export function createCommand(): Command {
  return new Command('mounts')
    .description("list your mounts with their branches, in AUFS's form")
    .option('--json', 'print JSON')
    .action(run);
}
