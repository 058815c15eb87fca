import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandLine, run } from './command.ts';
import { type Contender, type Mounted, type Union, workingDirectory } from './contenders.ts';
import { type ProcessUsage, usageOf } from './process-usage.ts';
import { type Sources } from './sources.ts';
import { type Site, type Workload } from './workload.ts';

/** What a mount's daemon did during the measured part; its memory since it started. */
interface DaemonUse extends ProcessUsage {
  /** Requests of the kernel, where the daemon counts them. */
  readonly requests?: number;
}

/** One run of one workload on one contender. */
export interface Measurement {
  readonly seconds: number;
  readonly daemon?: DaemonUse;
}

/** What all measurements of a benchmark share. */
export interface Ground {
  /** A directory of the benchmark's own, on the filesystem that is measured. */
  readonly scratch: string;
  readonly sources: Sources;
  readonly signal?: AbortSignal;
}

/** Fresh directories for one measurement. */
interface Place {
  readonly directory: string;
  readonly merged: string;
  readonly union: Union;
}

async function makePlace(ground: Ground, workload: Workload): Promise<Place> {
  const directory = join(ground.scratch, 'place');
  const [upper, work, merged] = ['upper', 'work', 'merged'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [upper, work, merged]) await mkdir(path, { recursive: true });
  const lowers = await (workload.lowers?.(ground.sources) ?? ground.sources.image());
  return { directory, merged, union: { lowers, upper, work } };
}

/** Writes back what earlier measurements left, which would else be written during this one. */
async function settle(ground: Ground, cold: boolean): Promise<void> {
  await run(['sync', '-f', ground.scratch]);
  if (cold) await writeFile('/proc/sys/vm/drop_caches', '3');
}

function createSite(ground: Ground, contender: Contender, place: Place): Site {
  const options = ground.signal === undefined ? {} : { signal: ground.signal };
  const there = { ...options, cwd: workingDirectory(place.merged) };
  return {
    root: place.merged,
    sources: ground.sources,
    run: (...command: CommandLine) => run(command, options),
    async mountOnce() {
      const command = contender.command?.({ lowers: place.union.lowers }, place.merged);
      if (command === undefined) throw new Error(`${contender.name} does not mount`);
      await run(command, there);
      await run(['umount', place.merged], options);
    },
  };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - start) / 1e9;
}

async function timedOn(mounted: Mounted, work: () => Promise<void>): Promise<Measurement> {
  const { pid, requests } = mounted;
  if (pid === undefined) return { seconds: await timed(work) };
  const requestsBefore = await requests?.();
  const before = usageOf(pid);
  const seconds = await timed(work);
  const after = usageOf(pid);
  const requestsAfter = await requests?.();
  const daemon = { cpuSeconds: after.cpuSeconds - before.cpuSeconds, peakRssKib: after.peakRssKib };
  if (requestsBefore === undefined || requestsAfter === undefined) return { seconds, daemon };
  return { seconds, daemon: { ...daemon, requests: requestsAfter - requestsBefore } };
}

/** Runs `work` on the mount and takes the mount away again, whatever happens. */
async function onMount<T>(contender: Contender, place: Place, work: (mounted: Mounted) => Promise<T>): Promise<T> {
  const mounted = await contender.mount(place.union, place.merged);
  let result: T;
  try {
    result = await work(mounted);
  } catch (error) {
    // The first error is the one that tells.
    await mounted.unmount().catch(() => undefined);
    throw error;
  }
  await mounted.unmount();
  return result;
}

async function measureMounted(
  ground: Ground,
  contender: Contender,
  workload: Workload,
  place: Place,
): Promise<Measurement> {
  const site = createSite(ground, contender, place);
  const cold = workload.cold === true;
  const prepare = (): Promise<void> => workload.prepare?.(site) ?? Promise.resolve();
  // A daemon remembers too: what it prepared must not be the one that is measured.
  if (cold && workload.prepare !== undefined) await onMount(contender, place, prepare);
  return onMount(contender, place, async (mounted) => {
    if (!cold) await prepare();
    // After the mount, since a plain directory is read and written when it is set up.
    await settle(ground, cold);
    return timedOn(mounted, () => workload.measure(site));
  });
}

/** Runs one workload once on one contender, in fresh directories, of which nothing is left. */
export async function measureOnce(ground: Ground, contender: Contender, workload: Workload): Promise<Measurement> {
  const place = await makePlace(ground, workload);
  try {
    if (workload.mountsItself !== true) return await measureMounted(ground, contender, workload, place);
    const site = createSite(ground, contender, place);
    await workload.prepare?.(site);
    await settle(ground, workload.cold === true);
    return { seconds: await timed(() => workload.measure(site)) };
  } finally {
    await run(['rm', '-rf', '--one-file-system', place.directory]);
  }
}
