import { accessSync, constants } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { hasProgram, run } from '../command.ts';
import { inOwnNamespace, interruptionSignal } from '../isolation.ts';
import { writeWhole } from '../report.ts';
import { runImageBenchmark } from './benchmark.ts';
import { openFixture } from './fixture.ts';
import { formatImageReport } from './report.ts';
import { createLamina, PODMANS } from './tools.ts';

interface Flags {
  readonly size: number;
  readonly layers: number;
  readonly rounds: number;
  readonly json?: string;
  readonly keep?: string;
}

// The compiled program lies beside what it measures: DIRECTORY/bench/image and DIRECTORY/cli.
const DISTRIBUTION = resolve(import.meta.dirname, '../..');

function parseCount(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a number from 1 to 99999.');
}

async function checkPrograms(): Promise<void> {
  const needed = { 'docker-registry': 'docker-registry', time: 'time', ldd: 'libc-bin' };
  for (const [program, debian] of Object.entries(needed)) {
    if (!(await hasProgram(program))) throw new Error(`${program} is not installed: apt-get install ${debian}`);
  }
}

async function benchmark({ size, layers, rounds, json, keep }: Flags): Promise<void> {
  // Before minutes of measuring, not after.
  if (json !== undefined) accessSync(dirname(resolve(json)), constants.W_OK);
  await checkPrograms();
  const signal = interruptionSignal();
  const scratch = await mkdtemp(join(tmpdir(), 'bench-'));
  try {
    const at = keep === undefined ? join(scratch, 'image') : resolve(keep);
    const fixture = await openFixture(at, { bytes: size << 20, layers });
    const tools = [createLamina(DISTRIBUTION), ...PODMANS];
    const report = await runImageBenchmark({ scratch, fixture, tools, rounds, signal });
    process.stdout.write(formatImageReport(report));
    if (json !== undefined) await writeWhole(json, `${JSON.stringify(report, null, 2)}\n`);
  } finally {
    await run(['rm', '-rf', '--one-file-system', scratch]);
  }
}

const program = new Command('bench:image')
  .description('pull, push and commit with lamina and podman, in turns, from and to registries on loopback')
  .option('--size <MiB>', 'of the image, uncompressed', parseCount, 1024)
  .option('--layers <n>', 'of the image', parseCount, 10)
  .option('--rounds <n>', 'how often each is measured', parseCount, 3)
  .option('--json <file>', 'write all measurements there')
  .option('--keep <dir>', 'make the image there, and take it from there the next time')
  .addHelpText('after', '\nWhat is measured lies below TMPDIR, which decides the filesystem. It needs root.');

async function main(): Promise<void> {
  const flags = program.parse().opts<Flags>();
  if (await inOwnNamespace(false)) await benchmark(flags);
}

main().catch((error: unknown) => {
  process.stderr.write(`bench:image: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
