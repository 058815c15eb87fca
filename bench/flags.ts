import { Command, InvalidArgumentError, Option } from 'commander';
import { DEFAULT_SIZES, parseSize, QUICK_SIZES, SIZE_NAMES, type Sizes } from './sizes.ts';

/** What the command line asks for. */
export interface Flags {
  readonly against: readonly string[];
  /** All where not given. */
  readonly workload?: readonly string[];
  readonly layers?: string;
  readonly root?: string;
  readonly rounds: number;
  readonly sizes: Sizes;
  readonly rootless: boolean;
  readonly count: boolean;
  readonly json?: string;
  readonly html?: string;
  readonly compare?: string;
  readonly from?: string;
  readonly list: boolean;
}

interface Given extends Partial<Omit<Flags, 'sizes'>> {
  readonly quick?: true;
  readonly size: Partial<Sizes>;
}

const DEFAULT_PEERS = 'overlayfs,fuse-overlayfs';
const DEFAULT_ROUNDS = 3;

const names = (list: string): string[] => list.split(',');

function parseRounds(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a number from 1 to 9999.');
}

function collectSize(text: string, before: Partial<Sizes>): Partial<Sizes> {
  const size = parseSize(text);
  if (size === undefined)
    throw new InvalidArgumentError(`It must be NAME=NUMBER, NAME one of ${SIZE_NAMES.join(', ')}.`);
  return { ...before, ...size };
}

const HELP = `
A root for --root is made by: debootstrap --variant=minbase bookworm DIR. What is measured lies below TMPDIR, which decides
the filesystem. Numbers are only as good as the machine is quiet.

Sizes, and what they are without --size: ${Object.entries(DEFAULT_SIZES)
  .map(([name, size]) => `${name}=${size}`)
  .join(' ')} (numbers of files, lookups, starts or entries; stream, copyUp, random and shared are MiB).

Overlayfs and lamina sync each file that they copy up before it gets its name, fuse-overlayfs never does. To compare what is
alike, measure --against fuse-overlayfs,overlayfs-volatile,lamina-volatile, too: podman run --rm mounts with volatile.`;

/** The program's options. */
function createProgram(): Command {
  return new Command('bench')
    .description('measure lamina and its peers on the same work, in turns')
    .option('--against <peers>', `whom, with commas (default: ${DEFAULT_PEERS}; see --list)`, names)
    .option('--workload <names>', 'only these workloads or groups of them (default: all; see --list)', names)
    .addOption(
      new Option('--layers <dir>', "the image's layers: its subdirectories, the last by name on top").conflicts('root'),
    )
    .option('--root <dir>', 'a root filesystem to split into the image (default: made of this machine)')
    .option('--rounds <n>', `how often each is measured (default: ${DEFAULT_ROUNDS})`, parseRounds)
    .option('--size <name=number>', 'how large the work is; can be repeated', collectSize, {})
    .option('--quick', 'small work, one round: to see that everything runs')
    .option('--rootless', 'in a user namespace, as an ordinary user; without what needs dropped caches')
    .option('--count', 'one more run of each that is not timed: FUSE requests, and system calls of the daemon (strace)')
    .option('--json <file>', 'write all measurements there')
    .option('--html <file>', 'write a page with plots there')
    .option('--compare <old.json>', 'say what got slower or faster than in an older report; exit status 1 where slower')
    .option('--from <file.json>', 'measure nothing: show, plot or compare what --json wrote')
    .option('--list', 'list workloads and contenders')
    .addHelpText('after', HELP);
}

/** Reads the command line; ends the process where it is wrong. */
export function parseFlags(argv: readonly string[]): Flags {
  const { quick, size, ...given } = createProgram()
    .parse([...argv])
    .opts<Given>();
  return {
    against: names(DEFAULT_PEERS),
    rounds: quick === true ? 1 : DEFAULT_ROUNDS,
    ...{ rootless: false, count: false, list: false },
    ...given,
    sizes: { ...(quick === true ? QUICK_SIZES : DEFAULT_SIZES), ...size },
  };
}
