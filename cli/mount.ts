import { Command } from 'commander';
import {
  argumentBytes,
  type ByteString,
  type MountOptions,
  OptionError,
  parseOptions,
  serveInForeground,
  spawnDaemon,
  toText,
} from '../fs/index.ts';

interface Flags {
  readonly options: readonly string[];
  readonly lower: readonly string[];
  readonly data: readonly string[];
  readonly upper?: string;
  readonly work?: string;
  readonly backend?: string;
  readonly foreground?: true;
}

const collect = (value: string, previous: readonly string[]): string[] => [...previous, value];

/** A path as an option's value: `-o` splits at commas and colons. */
function option(name: string, path: string): ByteString {
  return `${name}=${argumentBytes(path).replace(/[\\,:]/g, '\\$&')}`;
}

function optionStrings(flags: Flags): ByteString[] {
  const strings = flags.options.map(argumentBytes);
  for (const lower of flags.lower) strings.push(option('lowerdir+', lower));
  for (const data of flags.data) strings.push(option('datadir+', data));
  if (flags.upper !== undefined) strings.push(option('upperdir', flags.upper));
  if (flags.work !== undefined) strings.push(option('workdir', flags.work));
  if (flags.backend !== undefined) strings.push(option('backend', flags.backend));
  return strings;
}

function mountOptions(mountpoint: string, flags: Flags): MountOptions {
  const { overlay, fuse, unknown } = parseOptions(optionStrings(flags), true);
  if (unknown.length > 0) {
    throw new OptionError(`unknown mount option: ${unknown.map(toText).join(', ')} (lamina mount --help)`);
  }
  return { mountpoint: argumentBytes(mountpoint), overlay, fuse };
}

async function run(mountpoint: string, flags: Flags): Promise<void> {
  const options = mountOptions(mountpoint, flags);
  if (flags.foreground === true) await serveInForeground(options);
  else await spawnDaemon(options);
}

const HELP = `
Mount options (-o): lowerdir=A:B::DATA, lowerdir+=A, datadir+=DATA, upperdir=, workdir=, redirect_dir=, index=, metacopy=,
verity=, uuid=, xino=, nfs_export=, userxattr, ro, timeout=SECS, volatile, fsync=0, noacl,
noxattrs=1, static_nlink, squash_to_root, squash_to_uid=, squash_to_gid=, uidmapping=, gidmapping=,
xattr_permissions=1|2, ino32_t, passthrough=auto|on|upper|all|off, no_open=auto|on|off, layer_index=auto|off, allow_other,
allow_root, [no]suid, [no]dev, [no]exec, [no]atime, relatime, private, slave, fsname=; those of overlayfs and fuse-overlayfs that ask for what
is done anyway are accepted. LAMINA_LOG=FILE in the environment makes the daemon write its log there.

Example: lamina mount --lower /layers/2 --lower /layers/1 --upper /upper --work /work /mnt`;

export function createCommand(): Command {
  return new Command('mount')
    .description('mount a union of directories; returns once it answers')
    .argument('<mountpoint>', 'an existing directory')
    .option('-o, --options <list>', 'mount options, as mount(8) takes them (repeatable)', collect, [])
    .option('--lower <dir>', 'a read-only layer; the first is the topmost (repeatable)', collect, [])
    .option('--data <dir>', 'a data-only layer below them, for the data of metacopies (repeatable)', collect, [])
    .option('--upper <dir>', 'the layer that takes the changes; without it the mount is read-only')
    .option('--work <dir>', "an empty directory on the upper's filesystem")
    .option('--backend <name>', 'device (default): speak FUSE by ourselves; fuse-native: through libfuse 2.9')
    .option('-f, --foreground', 'serve in the foreground, with the log on standard error')
    .addHelpText('after', HELP)
    .action(run);
}
