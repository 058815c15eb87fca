#!/usr/bin/env node
import {
  type ByteString,
  mount,
  parseOptions,
  rawArguments,
  serveUntilEnd,
  spawnDaemon,
  toText,
  type MountOptions,
} from '../fs/index.ts';

// The command line of fuse-overlayfs, so that podman, buildah, containerd and mount(8) can call it in its place. Parsed
// by hand: it is libfuse's, not getopt's, and a start should load nothing that it does not need.

const USAGE = `Usage: fuse-lamina [options] MOUNTPOINT
       fuse-lamina SOURCE MOUNTPOINT [options]

    -o lowerdir=DIR[:DIR...]   read-only layers, the topmost first (\\: is a colon in a path)
    -o lowerdir+=DIR           the same, one at a time
    -o datadir+=DIR            a data-only layer below them; or lowerdir=DIR::DATADIR
    -o upperdir=DIR            takes the changes; without it the mount is read-only
    -o workdir=DIR             an empty directory on the upper's filesystem
    -o OPTION[,OPTION...]      further options of fuse-overlayfs, overlayfs and mount
    -o backend=fuse-native     through libfuse 2.9 in the npm package fuse-native (or LAMINA_BACKEND=fuse-native)
    -f                         stay in the foreground
    -d, --debug                stay in the foreground
    -h, --help                 print this
    -V, --version              print the version

LAMINA_LOG=FILE in the environment makes the daemon write its log there.
`;

interface CommandLine {
  readonly options: ByteString[];
  readonly positionals: ByteString[];
  foreground: boolean;
  help: boolean;
  version: boolean;
}

type Flag = (line: CommandLine) => void;

const FLAGS: Readonly<Record<string, Flag>> = {
  '-f': (line) => (line.foreground = true),
  '-d': (line) => (line.foreground = true),
  '--debug': (line) => (line.foreground = true),
  '-h': (line) => (line.help = true),
  '--help': (line) => (line.help = true),
  '-V': (line) => (line.version = true),
  '--version': (line) => (line.version = true),
  // libfuse: single-threaded, which is how requests are served anyway. mount(8) means: tolerate unknown options.
  '-s': () => undefined,
  // mount(8): do not write /etc/mtab; be verbose.
  '-n': () => undefined,
  '-v': () => undefined,
};

/** What mount(8) and mount.fuse3 give with a value that says nothing to us: the type, a mount namespace. */
const IGNORED_WITH_VALUE = ['-t', '-N'];

function ignore(argument: ByteString): void {
  process.stderr.write(`unknown argument ignored: ${toText(argument)}\n`);
}

function parseCommandLine(argv: readonly ByteString[]): CommandLine {
  const line: CommandLine = { options: [], positionals: [], foreground: false, help: false, version: false };
  for (let index = 0; index < argv.length; index += 1) {
    const argument = argv[index] ?? '';
    const flag = FLAGS[argument];
    if (flag !== undefined) flag(line);
    else if (argument === '--') line.positionals.push(...argv.slice(index + 1));
    else if (IGNORED_WITH_VALUE.includes(argument)) index += 1;
    else if (argument === '-o') line.options.push(argv[(index += 1)] ?? missingValue());
    else if (argument.startsWith('-o')) line.options.push(argument.slice(2));
    else if (argument.startsWith('-') && argument !== '-') ignore(argument);
    else line.positionals.push(argument);
    if (argument === '--') break;
  }
  return line;
}

function missingValue(): never {
  throw new Error('-o needs options behind it: -o lowerdir=DIR,upperdir=DIR,workdir=DIR');
}

/** `MNT`, or `SOURCE MNT` as mount(8) and mount.fuse3 call it. */
function mountOptions(line: CommandLine): MountOptions {
  const { positionals } = line;
  if (positionals.length === 0) throw new Error('the mount point is missing (fuse-lamina --help)');
  if (positionals.length > 2) throw new Error(`too many arguments: ${positionals.map(toText).join(' ')}`);
  const { overlay, fuse, unknown } = parseOptions(line.options, false);
  unknown.forEach(ignore);
  const source = positionals.length === 2 ? { fsname: positionals[0] ?? '' } : {};
  const { FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT: dotWhiteouts } = process.env;
  return {
    mountpoint: positionals.at(-1) ?? '',
    overlay: dotWhiteouts === undefined ? overlay : { ...overlay, dotWhiteouts: true },
    fuse: { ...source, ...fuse },
  };
}

async function printVersion(): Promise<void> {
  const { version } = await import('./version.ts');
  process.stdout.write(`fuse-lamina: version ${version()}\n`);
}

async function main(): Promise<void> {
  const line = parseCommandLine(rawArguments());
  if (line.help) {
    process.stdout.write(USAGE);
  } else if (line.version) {
    await printVersion();
  } else if (line.foreground) {
    await serveUntilEnd(mount(mountOptions(line)));
  } else {
    await spawnDaemon(mountOptions(line));
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`fuse-lamina: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
