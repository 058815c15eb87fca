import { mkdir, mkdtemp, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { capture, type CommandLine, run } from './command.ts';
import { type Contender, type Mounted, type Requests, type Union, workingDirectory } from './contenders/contender.ts';
import { type Ground } from './ground.ts';
import { type ProcessUsage, usageOf } from './process-usage.ts';
import { type Program, type SecondUnion, type Site, type Workload } from './workload.ts';

/** What a mount's daemon did during the measured part; its memory since it started. */
interface DaemonUse extends ProcessUsage {
  /** Requests of the kernel by opcode, where the daemon counts them. */
  readonly requests?: Requests;
}

/** One run of one workload on one contender. */
export interface Measurement {
  /** In the workload's unit. */
  readonly value: number;
  readonly details?: Readonly<Record<string, number>>;
  readonly daemon?: DaemonUse;
}

/** Fresh directories for one measurement. */
interface Place {
  readonly directory: string;
  readonly merged: string;
  readonly spare: string;
  readonly union: Union;
}

async function makePlace(ground: Ground, workload: Pick<Workload, 'lowers'>): Promise<Place> {
  const directory = join(ground.scratch, 'place');
  const at = (name: string): string => join(directory, name);
  const [upper, work, merged, spare] = [at('upper'), at('work'), at('merged'), at('spare')];
  for (const path of [upper, work, merged, spare]) await mkdir(path, { recursive: true });
  const lowers = await (workload.lowers?.(ground.sources) ?? ground.sources.image());
  return { directory, merged, spare, union: { lowers, upper, work } };
}

/** Writes back what earlier measurements left, which would else be written during this one. */
async function settle(ground: Ground, cold: boolean): Promise<void> {
  await run(['sync', '-f', ground.scratch]);
  if (!cold) return;
  await writeFile('/proc/sys/vm/drop_caches', '3');
  ground.sources.cool();
}

/** The same lower layers with an upper of its own, beside the first. */
async function mountSecond(contender: Contender, place: Place): Promise<SecondUnion> {
  const at = (name: string): string => join(place.directory, 'second', name);
  for (const name of ['upper', 'work', 'merged']) await mkdir(at(name), { recursive: true });
  const union = { lowers: place.union.lowers, upper: at('upper'), work: at('work') };
  const mounted = await contender.mount(union, at('merged'));
  return { root: at('merged'), unmount: () => mounted.unmount() };
}

function signalOf(ground: Ground): { readonly signal?: AbortSignal } {
  return ground.signal === undefined ? {} : { signal: ground.signal };
}

function placeSite(ground: Ground, place: Place): Omit<Site, 'mountOnce' | 'mountSecond'> {
  const options = signalOf(ground);
  return {
    root: place.merged,
    spare: place.spare,
    sources: ground.sources,
    run: (...command: CommandLine) => run(command, options),
    capture: (...command: CommandLine) => capture(command, options),
  };
}

function createSite(ground: Ground, contender: Contender, place: Place, daemon?: number): Site {
  const options = signalOf(ground);
  const there = { ...options, cwd: workingDirectory(place.merged) };
  return {
    ...placeSite(ground, place),
    ...(daemon !== undefined && { daemon }),
    mountSecond: () => mountSecond(contender, place),
    async mountOnce() {
      const command = contender.command?.({ lowers: place.union.lowers }, place.merged);
      if (command === undefined) throw new Error(`${contender.name} does not mount`);
      await run(command, there);
      await run(['umount', place.merged], options);
    },
  };
}

/** What the work says of itself, or else the seconds that it took. */
async function measured(work: () => Promise<unknown>): Promise<Measurement> {
  const start = process.hrtime.bigint();
  const reading = (await work()) as Omit<Measurement, 'daemon'> | undefined;
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return reading ?? { value: seconds };
}

/** How often each opcode came between two counts. */
export function difference(before: Requests, after: Requests): Requests {
  const changes = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  return Object.fromEntries(changes.filter(([, count]) => count > 0));
}

async function measuredOn(mounted: Mounted, work: () => Promise<unknown>): Promise<Measurement> {
  const { pid, requests } = mounted;
  if (pid === undefined) return measured(work);
  const requestsBefore = await requests?.();
  const before = usageOf(pid);
  const reading = await measured(work);
  const after = usageOf(pid);
  const requestsAfter = await requests?.();
  const daemon = { cpuSeconds: after.cpuSeconds - before.cpuSeconds, peakRssKib: after.peakRssKib };
  if (requestsBefore === undefined || requestsAfter === undefined) return { ...reading, daemon };
  return { ...reading, daemon: { ...daemon, requests: difference(requestsBefore, requestsAfter) } };
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

/**
 * What was made stays until the end, but for what takes space: ext4 does not give a number anew for minutes after its file
 * was removed (recently_deleted in fs/ext4/ialloc.c), and looks through all of them for each file that is made meanwhile.
 * Whoever is measured after the removal of 10,000 files takes up to ten times as long to make some.
 */
async function leaveBehind({ scratch }: Ground, { directory }: Place): Promise<void> {
  await run(['find', directory, '-xdev', '-type', 'f', '-size', '+1M', '-delete']);
  await rename(directory, await mkdtemp(join(scratch, 'left-')));
}

/** Has a workload's measured part ready on a mount, and hands both over. */
export async function whenReady<T>(
  ground: Ground,
  contender: Contender,
  workload: Workload,
  work: (mounted: Mounted, site: Site) => Promise<T>,
): Promise<T> {
  const place = await makePlace(ground, workload);
  const cold = workload.cold === true;
  const prepare = ({ pid }: Mounted): Promise<void> =>
    workload.prepare?.(createSite(ground, contender, place, pid)) ?? Promise.resolve();
  try {
    if (!cold) await ground.sources.warm(place.union.lowers);
    // A daemon remembers too: what it prepared must not be the one that is measured.
    if (cold && workload.prepare !== undefined) await onMount(contender, place, prepare);
    return await onMount(contender, place, async (mounted) => {
      if (!cold) await prepare(mounted);
      // After the mount, since a plain directory is read and written when it is set up.
      await settle(ground, cold);
      return work(mounted, createSite(ground, contender, place, mounted.pid));
    });
  } finally {
    await leaveBehind(ground, place);
  }
}

async function measureMounts(ground: Ground, contender: Contender, workload: Workload): Promise<Measurement> {
  const place = await makePlace(ground, workload);
  try {
    const site = createSite(ground, contender, place);
    await ground.sources.warm(place.union.lowers);
    await workload.prepare?.(site);
    await settle(ground, workload.cold === true);
    return await measured(() => workload.measure(site));
  } finally {
    await leaveBehind(ground, place);
  }
}

/** Runs one workload once on one contender, in fresh directories. */
export async function measureOnce(ground: Ground, contender: Contender, workload: Workload): Promise<Measurement> {
  if (workload.mountsItself === true) return measureMounts(ground, contender, workload);
  return whenReady(ground, contender, workload, (mounted, site) => measuredOn(mounted, () => workload.measure(site)));
}

/** Runs one program once. */
export async function measureProgram(ground: Ground, program: Program): Promise<Measurement> {
  const place = await makePlace(ground, { lowers: () => Promise.resolve([]) });
  const refuse = (): never => {
    throw new Error(`${program.name} is no union`);
  };
  try {
    const site = { ...placeSite(ground, place), mountOnce: refuse, mountSecond: refuse };
    await program.prepare?.(site);
    await settle(ground, false);
    return await measured(() => program.measure(site));
  } finally {
    await leaveBehind(ground, place);
  }
}
