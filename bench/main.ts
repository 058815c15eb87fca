import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { accessSync, constants } from 'node:fs';
import { type Progress, runBenchmark } from './benchmark.ts';
import { run } from './command.ts';
import { compareReports, formatChanges, isSlower } from './compare.ts';
import { type Contender } from './contenders/contender.ts';
import { createLamina, createPeers } from './contenders/index.ts';
import { Counter } from './count.ts';
import { parseFlags, type Flags } from './flags.ts';
import { type Ground } from './ground.ts';
import { htmlReport } from './html/report.ts';
import { inOwnNamespace, interruptionSignal } from './isolation.ts';
import { describeMachine, formatReport, readReport, type Report, writeJson, writeWhole } from './report.ts';
import { checkImage, type ImageSource, Sources } from './sources.ts';
import { createGroups, type NamedGroup } from './workloads/index.ts';

// The compiled program lies beside what it measures: DIRECTORY/bench and DIRECTORY/cli.
const DISTRIBUTION = resolve(import.meta.dirname, '..');

interface Named {
  readonly name: string;
}

function choose<T extends Named>(all: readonly T[], names: readonly string[], option: string): T[] {
  return names.map((name) => {
    const found = all.find((one) => one.name === name);
    if (found !== undefined) return found;
    throw new Error(`${option}: "${name}" is none of ${all.map((one) => one.name).join(', ')}`);
  });
}

/** Names of groups stand for all their workloads. */
function chooseWorkloads(groups: readonly NamedGroup[], names: readonly string[] | undefined): NamedGroup['workloads'] {
  const all = groups.flatMap(({ workloads }) => workloads);
  if (names === undefined) return removingLast(all);
  const singles = all.map((workload) => ({ name: workload.name, workloads: [workload] }));
  const chosen = choose([...groups, ...singles], names, '--workload').flatMap(({ workloads }) => workloads);
  return removingLast([...new Set(chosen)]);
}

function removingLast(workloads: NamedGroup['workloads']): NamedGroup['workloads'] {
  return [...workloads].sort((one, other) => Number(one.removes === true) - Number(other.removes === true));
}

function imageSource(flags: Flags): ImageSource {
  if (flags.layers !== undefined) return { kind: 'layers', directory: resolve(flags.layers) };
  if (flags.root !== undefined) return { kind: 'root', directory: resolve(flags.root) };
  return { kind: 'machine' };
}

const progress: Progress = (workload, contender, round) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${workload}: ${round}, ${contender}`);
};

interface Present {
  readonly contenders: Contender[];
  readonly missing: Record<string, string>;
}

async function findPresent(asked: readonly Contender[], ground: Ground): Promise<Present> {
  const present: Present = { contenders: [createLamina(DISTRIBUTION)], missing: {} };
  for (const contender of asked) {
    const reason = await contender.missing(ground);
    if (reason === undefined) present.contenders.push(contender);
    else present.missing[contender.name] = reason;
  }
  return present;
}

async function measureAll(flags: Flags, ground: Ground): Promise<Report> {
  const machine = describeMachine();
  const { sizes, rounds, rootless, against } = flags;
  const groups = createGroups({ sizes, distribution: DISTRIBUTION });
  const workloads = chooseWorkloads(groups, flags.workload);
  const peers = choose(createPeers(DISTRIBUTION, rootless), against, '--against');
  const { contenders, missing } = await findPresent(peers, ground);
  for (const [name, reason] of Object.entries(missing)) process.stderr.write(`bench: without ${name}: ${reason}\n`);
  const counter = flags.count ? await Counter.open(ground) : undefined;
  try {
    const plan = { contenders, workloads, rounds, ...(counter !== undefined && { counter }) };
    const results = await runBenchmark(ground, plan, progress);
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    const names = contenders.map(({ name }) => name);
    const absent = { ...missing, ...counter?.missing };
    return { machine, rounds, rootless, sizes, contenders: names, missing: absent, results };
  } finally {
    await counter?.close();
  }
}

async function writeFiles(report: Report, flags: Flags): Promise<void> {
  if (flags.json !== undefined) await writeJson(report, flags.json);
  if (flags.html !== undefined) await writeWhole(flags.html, htmlReport(report));
}

/** Says what has changed since the older report, and fails where something is slower. */
function showChanges(older: Report, report: Report): void {
  const changes = compareReports(older, report);
  process.stdout.write(formatChanges(changes));
  if (changes.some(isSlower)) process.exitCode = 1;
}

async function benchmark(flags: Flags): Promise<void> {
  // Before minutes of measuring, not after.
  for (const file of [flags.json, flags.html])
    if (file !== undefined) accessSync(dirname(resolve(file)), constants.W_OK);
  const older = flags.compare === undefined ? undefined : await readReport(flags.compare);
  await checkImage(imageSource(flags));
  const signal = interruptionSignal();
  const scratch = await mkdtemp(join(tmpdir(), 'lamina-bench-'));
  try {
    const sources = new Sources(join(scratch, 'sources'), imageSource(flags), flags.sizes, { signal });
    const report = await measureAll(flags, { scratch, sources, signal, rootless: flags.rootless });
    if (report.results.length === 0) signal.throwIfAborted();
    process.stdout.write(formatReport(report));
    await writeFiles(report, flags);
    signal.throwIfAborted();
    if (report.results.some(({ failures }) => Object.keys(failures).length > 0)) process.exitCode = 1;
    if (older !== undefined) showChanges(older, report);
  } finally {
    // In a session of its own: what ends the benchmark must not end this.
    await run(['setsid', '--wait', 'rm', '-rf', '--one-file-system', scratch]);
  }
}

/** Reports that are there already: nothing is measured. */
async function fromReport(path: string, flags: Flags): Promise<void> {
  const report = await readReport(path);
  if (flags.html !== undefined) await writeWhole(flags.html, htmlReport(report));
  if (flags.compare !== undefined) showChanges(await readReport(flags.compare), report);
  else process.stdout.write(formatReport(report));
}

function list(flags: Flags): void {
  for (const { name, workloads } of createGroups({ sizes: flags.sizes, distribution: DISTRIBUTION })) {
    process.stdout.write(`${name}\n`);
    for (const workload of workloads) process.stdout.write(`  ${workload.name.padEnd(16)} ${workload.description}\n`);
  }
  process.stdout.write('contenders, besides lamina\n');
  for (const { name, description = '' } of createPeers(DISTRIBUTION)) {
    process.stdout.write(`  ${name.padEnd(18)} ${description}`.trimEnd().concat('\n'));
  }
}

async function main(): Promise<void> {
  const flags = parseFlags(process.argv);
  if (flags.list) list(flags);
  else if (flags.from !== undefined) await fromReport(flags.from, flags);
  else if (await inOwnNamespace(flags.rootless)) await benchmark(flags);
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
