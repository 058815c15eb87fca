import { type Command } from 'commander';
import { type MountOptions, parseVolume } from '../../runner/container/options/mounts.ts';
import { collect } from './collect.ts';

/** What the options of `addMountFlags` give. */
export interface MountFlags {
  readonly readOnly?: true;
  readonly volume?: readonly string[];
}

/** Options of the container's mounts. */
export function addMountFlags(command: Command): Command {
  return command
    .option('-v, --volume <host:inside[:ro]>', 'bind a directory or file of the host; can be repeated', collect)
    .option('--read-only', 'no change to the root filesystem; /run, /tmp and /var/tmp are writable and temporary');
}

export function mountOptionsOf({ readOnly, volume = [] }: MountFlags): MountOptions {
  return { readOnly: readOnly === true, volumes: volume.map(parseVolume) };
}
