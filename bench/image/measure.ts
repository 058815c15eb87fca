import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandLine, type CommandOptions, run } from '../command.ts';
import { COMMITTED } from './fixture.ts';
import { LocalRegistry } from './registry.ts';
import { makeStore, type Tool } from './tools.ts';

/** What one command took. */
export interface Usage {
  readonly seconds: number;
  /** User and system time of all its processes. */
  readonly cpuSeconds: number;
  /** Of its largest process. */
  readonly peakRssKib: number;
}

export const STEPS = ['pull', 'push', 'commit'] as const;
export type Step = (typeof STEPS)[number];
export type Round = Readonly<Record<Step, Usage>>;

/** What all measurements share. */
export interface Ground {
  /** A directory of the benchmark's own, on the filesystem that is measured. */
  readonly scratch: string;
  /** Where the image is. */
  readonly source: LocalRegistry;
  readonly signal?: AbortSignal;
}

/** Runs a command under GNU time: wait4(2) tells the memory of the processes that it waited for, the command's own first. */
async function timed(ground: Ground, command: CommandLine, options: CommandOptions): Promise<Usage> {
  // What was written before is not to be written now.
  await run(['sync', '-f', ground.scratch]);
  const report = join(ground.scratch, 'usage');
  await run(['time', '-q', '-o', report, '-f', '%e %U %S %M', ...command], options);
  const [seconds = NaN, user = NaN, system = NaN, peakRssKib = NaN] = (await readFile(report, 'utf8'))
    .trim()
    .split(' ')
    .map(Number);
  return { seconds, cpuSeconds: user + system, peakRssKib };
}

/** podman mounts its store's directory on itself, and leaves it so. */
async function unmountBelow(path: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').flatMap((line) => line.split(' ')[1] ?? []);
  for (const mount of mounts.filter((one) => one.startsWith(`${path}/`)).reverse()) await run(['umount', mount]);
}

async function remove(path: string): Promise<void> {
  await unmountBelow(path);
  await run(['rm', '-rf', '--one-file-system', path]);
}

/** Pulls into a new store, pushes to a new registry, and commits a container that copied one layer's files. */
export async function measureRound(ground: Ground, tool: Tool): Promise<Round> {
  const { scratch, source, signal } = ground;
  const options = signal === undefined ? {} : { signal };
  // podman takes no runroot of more than 50 characters.
  const path = join(scratch, 'at');
  const store = await makeStore(join(path, 's'));
  let target: LocalRegistry | undefined;
  try {
    const pull = await timed(ground, tool.pull(store, source.host), options);
    target = await LocalRegistry.open(join(path, 'registry'));
    await run(tool.tag(store, source.host, target.host), options);
    const push = await timed(ground, tool.push(store, target.host), options);
    const copy = ['/bin/sh', '-c', `cp -r ${COMMITTED.from} ${COMMITTED.to}`] as const;
    await run(tool.run(store, source.host, 'changed', [...copy]), options);
    const commit = await timed(ground, tool.commit(store, 'changed', 'localhost/changed:1'), options);
    return { pull, push, commit };
  } finally {
    await target?.close();
    await remove(path);
  }
}
