import { type Sample, cpuPercent, sampleContainer } from '../runner/container/cgroup/stats.ts';
import { type Container, liveStatus } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { humanSize } from './human-size.ts';
import { print } from './print.ts';
import { type Listing, listLines } from './table.ts';
import { type Row } from './template.ts';

export interface StatsFlags {
  readonly all?: true;
  readonly format?: string;
  /** False with --no-stream. */
  readonly stream: boolean;
  /** False with --no-trunc. */
  readonly trunc: boolean;
}

const SHORT_ID = 12;
const INTERVAL_MILLISECONDS = 1000;
const FIRST_MILLISECONDS = 300;

const LISTING: Listing = {
  titles: {
    Container: 'CONTAINER',
    ID: 'CONTAINER ID',
    Name: 'NAME',
    CPUPerc: 'CPU %',
    MemUsage: 'MEM USAGE / LIMIT',
    MemPerc: 'MEM %',
    NetIO: 'NET I/O',
    BlockIO: 'BLOCK I/O',
    PIDs: 'PIDS',
  },
  columns: ['ID', 'Name', 'CPUPerc', 'MemUsage', 'MemPerc', 'NetIO', 'BlockIO', 'PIDs'],
};

/** Prints what containers use; without --no-stream again and again, as docker does, until the program is ended. */
export async function printContainerStats(references: readonly string[], flags: StatsFlags): Promise<void> {
  const store = new ContainerStore(storeRoot());
  let before = sampleAll(store, references, flags);
  await pause(FIRST_MILLISECONDS);
  for (;;) {
    const now = sampleAll(store, references, flags);
    const rows = [...now].map(([key, sample]) => rowOf(key, before.get(key), sample, flags.trunc));
    const lines = listLines(rows, LISTING, flags.format);
    const clear = flags.stream && process.stdout.isTTY ? '\x1b[2J\x1b[H' : '';
    print(clear + lines.map((line) => `${line}\n`).join(''));
    if (!flags.stream) return;
    before = now;
    await pause(INTERVAL_MILLISECONDS);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Samples by what each container was asked for as. */
function sampleAll(store: ContainerStore, references: readonly string[], { all }: StatsFlags): Map<string, Sample> {
  if (references.length > 0) {
    return new Map(references.map((reference) => [reference, sampleContainer(store.find(reference))]));
  }
  const shown = store.list().filter((container) => all === true || isUp(container));
  return new Map(shown.map((container) => [container.id.slice(0, SHORT_ID), sampleContainer(container)]));
}

function isUp(container: Container): boolean {
  return ['running', 'orphaned'].includes(liveStatus(container.readState()));
}

function rowOf(key: string, before: Sample | undefined, sample: Sample, trunc: boolean): Row {
  const { container, memory, memoryLimit } = sample;
  return {
    Container: key,
    ID: trunc ? container.id.slice(0, SHORT_ID) : container.id,
    Name: container.config.name,
    CPUPerc: percent(cpuPercent(before, sample)),
    MemUsage: `${binarySize(memory)} / ${binarySize(memoryLimit)}`,
    MemPerc: percent(memoryLimit === 0 ? 0 : (100 * memory) / memoryLimit),
    NetIO: `${humanSize(sample.received)} / ${humanSize(sample.sent)}`,
    BlockIO: `${humanSize(sample.blockRead)} / ${humanSize(sample.blockWritten)}`,
    PIDs: String(sample.processes),
  };
}

function percent(value: number): string {
  return `${value.toFixed(2)}%`;
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes as docker writes memory: powers of 1,024, four digits. */
function binarySize(bytes: number): string {
  const power = Math.min(UNITS.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 1024 ** power).toPrecision(4))}${UNITS[power] ?? ''}`;
}
