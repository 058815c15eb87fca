import { Command, type CommanderError, Option } from 'commander';
import {
  argumentBytes,
  type ByteString,
  type Finding,
  type FsckReport,
  fsck,
  OptionError,
  type OverlayOptions,
  parseOptions,
  toBytes,
  toText,
} from '../fs/index.ts';
import { layersOf } from '../runner/container/known-uppers.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { complain, messageOf } from './complain.ts';
import { printableJson } from './printable.ts';
import { print } from './print.ts';

/** fsck(8). */
const EXIT = { clean: 0, mended: 1, left: 4, failed: 8, usage: 16 } as const;

interface Flags {
  readonly options?: readonly string[];
  readonly lower?: readonly string[];
  readonly workdir?: string;
  readonly work?: string;
  readonly container?: string;
  readonly repair?: true;
  readonly preen?: true;
  readonly yes?: true;
  readonly dryRun?: true;
  readonly clearVolatile?: true;
  readonly allLayers?: true;
  readonly json?: true;
}

const collect = (value: string, previous: readonly string[] = []): string[] => [...previous, value];

/** What is to be checked, of all the ways of saying it. */
function overlayOf(upper: string | undefined, flags: Flags): OverlayOptions {
  if (flags.container !== undefined) {
    if (upper !== undefined) throw new OptionError('give an upper or --container, not both');
    const container = new ContainerStore(storeRoot()).find(flags.container);
    return { upper: toBytes(container.upper), work: toBytes(container.work), lowers: container.lowers };
  }
  const parsed = parsedOptions(upper, flags);
  const path = upper === undefined ? parsed?.upper : argumentBytes(upper);
  if (path === undefined) {
    if (parsed !== undefined && parsed.lowers.length > 0) return parsed;
    throw new OptionError('there is nothing to check: give an upper, -o upperdir=DIR, or --container NAME');
  }
  const given = workdirOf(flags);
  const work = given === undefined ? parsed?.work : argumentBytes(given);
  const known = parsed === undefined && work === undefined ? layersOf(path) : undefined;
  return { lowers: [], ...parsed, ...known, upper: path, ...(work === undefined ? {} : { work }) };
}

function isInStore(upper: string | undefined, flags: Flags): boolean {
  const isAlone = flags.options === undefined && flags.lower === undefined && workdirOf(flags) === undefined;
  return upper !== undefined && isAlone && layersOf(argumentBytes(upper)) !== undefined;
}

function workdirOf({ workdir, work }: Flags): string | undefined {
  return workdir ?? work;
}

/** Those of `-o` and `--lower`, where there are any. */
function parsedOptions(upper: string | undefined, flags: Flags): OverlayOptions | undefined {
  const { options = [], lower = [] } = flags;
  const strings = [...options.map(argumentBytes), ...lower.map((path) => optionOf('lowerdir+', path))];
  if (strings.length === 0) return undefined;
  const work = workdirOf(flags);
  if (work !== undefined) strings.push(optionOf('workdir', work));
  if (upper !== undefined) strings.push(optionOf('upperdir', upper));
  const { overlay, unknown } = parseOptions(strings, true, false);
  if (unknown.length > 0) throw new OptionError(`unknown mount option: ${unknown.map(toText).join(', ')}`);
  return overlay;
}

function optionOf(name: string, path: string): ByteString {
  return `${name}=${argumentBytes(path).replace(/[\\,:]/g, '\\$&')}`;
}

/** One line whatever is in a name, which stays as it is on disk otherwise. */
function escape(path: ByteString): ByteString {
  return path.replace(/[\x00-\x1f\x7f\\]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

/** `LAYER PATH: KIND: what is wrong; why it matters; what is or can be done`, with `harmless` behind the kind. */
function describe(finding: Finding, done: string): ByteString {
  const { kind, layer, path, problem, why, harmless, repairable, remedy } = finding;
  const outcome = repairable ? `${done}: ${remedy}` : `not repairable: ${remedy}`;
  return `${toBytes(layer)} ${escape(path)}: ${kind}${harmless ? ' (harmless)' : ''}: ${toBytes(`${problem}; ${why}; ${outcome}`)}\n`;
}

function summary(report: FsckReport, name: ByteString, wanted: boolean): ByteString {
  const { mended, left, directories, files, indexEntries } = report;
  const checked = `${directories} directories, ${files} files, ${indexEntries} index entries`;
  if (mended.length + left.length === 0) return `${name}: clean (${checked})\n`;
  const open = left.filter(({ repairable }) => repairable).length;
  const hint = open > 0 && !wanted ? `, ${open} of which --repair mends` : '';
  return `${name}: ${mended.length} mended, ${left.length} left${hint} (${checked})\n`;
}

function toJson(report: FsckReport): string {
  const plain = (finding: Finding): object => ({ ...finding, path: toText(finding.path) });
  const findings = { mended: report.mended.map(plain), left: report.left.map(plain) };
  return `${printableJson({ ...report, ...findings }, 2)}\n`;
}

function show(report: FsckReport, overlay: OverlayOptions, flags: Flags, repair: boolean): void {
  if (flags.json === true) {
    print(toJson(report));
    return;
  }
  const mended = report.mended.map((finding) => describe(finding, 'mended'));
  const left = report.left.map((finding) => describe(finding, repair ? 'not mended' : 'repair'));
  const name = escape(overlay.upper ?? overlay.lowers[0] ?? '');
  print(Buffer.from([...mended, ...left, summary(report, name, repair)].join(''), 'latin1'));
}

async function check(upper: string | undefined, flags: Flags): Promise<number> {
  // Layers of an ordinary user's store belong to the subordinate ids.
  if (flags.container !== undefined || isInStore(upper, flags)) await enterUserNamespace(true);
  const overlay = overlayOf(upper, flags);
  const asked = flags.repair === true || flags.preen === true || flags.yes === true || flags.clearVolatile === true;
  const repair = asked && flags.dryRun !== true;
  const { clearVolatile = false, allLayers = false } = flags;
  const report = await fsck({ overlay, repair, clearVolatile, allLayers });
  if (report.usedBy !== undefined) complain(`the upper is in use, and may change while it is read: ${report.usedBy}`);
  if (overlay.upper !== undefined && overlay.lowers.length === 0) {
    complain(
      'no lower layers are given (--lower, -o lowerdir=): whiteouts, redirects and metacopies are not held against them',
    );
  }
  if (overlay.upper !== undefined && overlay.work === undefined) {
    complain('no workdir is given (--workdir, -o workdir=): it is not checked');
  }
  report.failures.forEach(complain);
  show(report, overlay, flags, repair);
  const left = report.left.some(({ harmless }) => !harmless) ? EXIT.left : EXIT.clean;
  if (report.failures.length > 0) return EXIT.failed | left;
  if (left !== EXIT.clean) return left;
  return report.mended.length > 0 ? EXIT.mended : EXIT.clean;
}

async function run(upper: string | undefined, flags: Flags): Promise<void> {
  try {
    process.exitCode = await check(upper, flags);
  } catch (error) {
    complain(messageOf(error));
    process.exitCode = error instanceof OptionError ? EXIT.usage : EXIT.failed;
  }
}

/** A mistake in the command line ends it as fsck(8) has it. */
function exit(error: CommanderError): never {
  process.exit(error.exitCode === 0 ? EXIT.clean : EXIT.usage);
}

const HELP = `
Checks redirects, metacopies, whiteouts, opaque and other marks, origins, the index of hard links and what is left over
in the workdir. Nothing is changed without --repair, which mends what can be mended without loss and refuses an upper
that is mounted. Of an upper of lamina's, podman's or docker's store, the other layers are found by themselves.

Exit status: 0 nothing is wrong but what is harmless, 1 all was mended, 4 something is left, 8 something could not be read or done (added to
4), 16 a mistake in the command line.

Examples:
  lamina fsck -o lowerdir=/top:/bottom,upperdir=/upper,workdir=/work
  lamina fsck /upper --workdir /work --lower /top --lower /bottom --repair
  lamina fsck --container web`;

export function createCommand(): Command {
  return new Command('fsck')
    .description('check an upper and its workdir against the lower layers, and mend them')
    .argument('[upper]', 'the layer that takes the changes')
    .option(
      '-o, --options <list>',
      'layers as mount(8) takes them: lowerdir=A:B,upperdir=,workdir= (repeatable)',
      collect,
    )
    .option('--lower <dir>', 'a lower layer; the first is the topmost (repeatable)', collect)
    .option('--workdir <dir>', 'the workdir of the upper')
    .addOption(new Option('--work <dir>', 'as lamina mount has it').hideHelp())
    .option('--container <name>', 'check a container, by name, id or first digits of the id')
    .option('-r, --repair', 'mend what can be mended without loss')
    .option('-p, --preen', 'the same, as fsck(8) has it')
    .option('-y, --yes', 'the same')
    .option('-n, --dry-run', 'change nothing: say what --repair would do')
    .option('--clear-volatile', 'mend, and remove the mark of a volatile mount, too, whose data may be lost')
    .option('--all-layers', 'check the lower layers, too; they are never changed')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .exitOverride(exit)
    .action(run);
}
