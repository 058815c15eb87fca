import { writeSync } from 'node:fs';
import type { MountOptions } from './mount.ts';
import { parseOptions } from './options.ts';
import { type ByteString, toText } from './sys/text.ts';

// The command line of fuse-overlayfs. Parsed by hand: it is libfuse's, not getopt's, and a start should load nothing that it
// does not need.

const STDERR = 2;

/** What the arguments of fuse-lamina say. */
export interface CommandLine {
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
  writeSync(STDERR, `unknown argument ignored: ${toText(argument)}\n`);
}

/** Warns of what it does not know. */
export function parseCommandLine(argv: readonly ByteString[]): CommandLine {
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
export function mountOptions(line: CommandLine): MountOptions {
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
