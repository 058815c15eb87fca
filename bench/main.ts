import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { accessSync, constants } from 'node:fs';
import { Command, InvalidArgumentError, Option } from 'commander';
import { type Progress, runBenchmark } from './benchmark.ts';
import { run } from './command.ts';
import { type Contender, createLamina, createPeers } from './contenders.ts';
import { inOwnNamespace, interruptionSignal } from './isolation.ts';
import { type Ground } from './measure.ts';
import { describeMachine, formatReport, type Report, writeJson } from './report.ts';
import { checkImage, type ImageSource, Sources } from './sources.ts';
import { type Workload } from './workload.ts';
import { WORKLOADS } from './workloads/index.ts';

interface Flags {
  readonly against?: readonly Contender[];
  readonly workload?: readonly Workload[];
  readonly layers?: string;
  readonly root?: string;
  readonly rounds: number;
  readonly json?: string;
  readonly list?: true;
}

// The compiled program lies beside what it measures: DIRECTORY/bench and DIRECTORY/cli.
const DISTRIBUTION = resolve(import.meta.dirname, '..');
const PEERS = createPeers(DISTRIBUTION);
const DEFAULT_PEERS = 'overlayfs,fuse-overlayfs';

interface Named {
  readonly name: string;
}

const names = (all: readonly Named[]): string => all.map(({ name }) => name).join(', ');

function choose<T extends Named>(all: readonly T[], list: string): T[] {
  return list.split(',').map((name) => {
    const found = all.find((one) => one.name === name);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`"${name}" is none of ${names(all)}.`);
  });
}

function parseRounds(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a number from 1 to 9999.');
}

function imageSource(flags: Flags): ImageSource {
  if (flags.layers !== undefined) return { kind: 'layers', directory: resolve(flags.layers) };
  if (flags.root !== undefined) return { kind: 'root', directory: resolve(flags.root) };
  return { kind: 'machine' };
}

const progress: Progress = (workload, contender, round) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${workload.name}: round ${round + 1}, ${contender.name}`);
};

interface Present {
  readonly contenders: Contender[];
  readonly missing: Record<string, string>;
}

async function findPresent(asked: readonly Contender[], scratch: string): Promise<Present> {
  const present: Present = { contenders: [createLamina(DISTRIBUTION)], missing: {} };
  for (const contender of asked) {
    const reason = await contender.missing(scratch);
    if (reason === undefined) present.contenders.push(contender);
    else present.missing[contender.name] = reason;
  }
  return present;
}

async function measureAll(flags: Flags, scratch: string, signal: AbortSignal): Promise<Report> {
  const machine = describeMachine();
  const { contenders, missing } = await findPresent(flags.against ?? choose(PEERS, DEFAULT_PEERS), scratch);
  for (const [name, reason] of Object.entries(missing)) process.stderr.write(`bench: without ${name}: ${reason}\n`);
  const sources = new Sources(join(scratch, 'sources'), imageSource(flags), { signal });
  const ground: Ground = { scratch, sources, signal };
  const plan = { contenders, workloads: flags.workload ?? WORKLOADS, rounds: flags.rounds };
  const results = await runBenchmark(ground, plan, progress);
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  return { machine, rounds: flags.rounds, contenders: contenders.map(({ name }) => name), missing, results };
}

async function benchmark(flags: Flags): Promise<void> {
  // Before minutes of measuring, not after.
  if (flags.json !== undefined) accessSync(dirname(resolve(flags.json)), constants.W_OK);
  await checkImage(imageSource(flags));
  const signal = interruptionSignal();
  const scratch = await mkdtemp(join(tmpdir(), 'lamina-bench-'));
  try {
    const report = await measureAll(flags, scratch, signal);
    if (report.results.length === 0) signal.throwIfAborted();
    process.stdout.write(formatReport(report));
    if (flags.json !== undefined) await writeJson(report, flags.json);
    signal.throwIfAborted();
    if (report.results.some(({ failures }) => Object.keys(failures).length > 0)) process.exitCode = 1;
  } finally {
    await run(['rm', '-rf', '--one-file-system', scratch]);
  }
}

function list(): void {
  for (const { name, description } of WORKLOADS) process.stdout.write(`${name.padEnd(12)} ${description}\n`);
}

async function start(flags: Flags): Promise<void> {
  if (flags.list === true) list();
  else if (await inOwnNamespace()) await benchmark(flags);
}

const HELP = `
A root for --root is made by: debootstrap --variant=minbase bookworm DIR. What is measured lies below TMPDIR, which decides
the filesystem. Numbers are only as good as the machine is quiet.`;

const program = new Command('bench')
  .description('measure lamina and its peers on the same work, in turns')
  .option('--against <peers>', `of ${names(PEERS)} (default: ${DEFAULT_PEERS})`, (list) => choose(PEERS, list))
  .option('--workload <names>', 'only these (default: all; see --list)', (list) => choose(WORKLOADS, list))
  .addOption(
    new Option('--layers <dir>', "the image's layers: its subdirectories, the last by name on top").conflicts('root'),
  )
  .option('--root <dir>', 'a root filesystem to split into the image (default: made of this machine)')
  .option('--rounds <n>', 'how often each is measured', parseRounds, 3)
  .option('--json <file>', 'write all measurements there')
  .option('--list', 'list the workloads')
  .addHelpText('after', HELP);

try {
  await start(program.parse().opts<Flags>());
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
