import { type Command } from 'commander';
import { type MountOptions, parseVolumesFrom } from '../../runner/container/options/mounts.ts';
import { parseMount } from '../../runner/container/volume/mount-flag.ts';
import { parseTmpfs } from '../../runner/container/volume/tmpfs-flag.ts';
import { parseVolume } from '../../runner/container/volume/volume-flag.ts';
import { collect } from './collect.ts';

/** What the options of `addMountFlags` give. */
export interface MountFlags {
  readonly readOnly?: true;
  readonly readOnlyTmpfs?: string | true;
  readonly volume?: readonly string[];
  readonly mount?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly volumesFrom?: readonly string[];
}

/** Options of the container's mounts. */
export function addMountFlags(command: Command): Command {
  return command
    .option(
      '-v, --volume <[source:]inside[:modes]>',
      "bind a path of the host (./x, /x), or a volume by its name; modes: ro, noexec, nosuid, dev, nocopy, bind, U (give to the container's user), O (throw changes away), [r]shared, [r]slave, [r]private; can be repeated",
      collect,
    )
    .option(
      '--mount <type=type,...>',
      'bind, volume, tmpfs or image, with src, dst, ro and other keys as docker has them; can be repeated',
      collect,
    )
    .option(
      '--tmpfs <inside[:options]>',
      'a filesystem in memory: size=64m, mode=1777, exec ...; can be repeated',
      collect,
    )
    .option('--volumes-from <container[:ro]>', 'all volumes and binds of another container; can be repeated', collect)
    .option('--read-only', 'no change to the root filesystem; /run, /tmp and /var/tmp are writable and temporary')
    .option('--read-only-tmpfs [bool]', 'with --read-only: false for no such temporary directories');
}

export function mountOptionsOf(flags: MountFlags): MountOptions {
  const { volume = [], mount = [], tmpfs = [], volumesFrom = [] } = flags;
  return {
    readOnly: flags.readOnly === true,
    temporaries: isOn(flags.readOnlyTmpfs ?? true),
    mounts: [...volume.map(parseVolume), ...mount.map(parseMount), ...tmpfs.map(parseTmpfs)],
    volumesFrom: volumesFrom.map(parseVolumesFrom),
  };
}

function isOn(value: string | true): boolean {
  if (value === true || value === 'true') return true;
  if (value === 'false') return false;
  throw new Error(`--read-only-tmpfs ${JSON.stringify(value)} is neither true nor false`);
}
