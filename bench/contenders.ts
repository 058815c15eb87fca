import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { capture, type CommandLine, hasProgram, run } from './command.ts';

/** What is mounted. Paths are absolute. */
export interface Union {
  /** The topmost first. */
  readonly lowers: readonly string[];
  readonly upper?: string;
  readonly work?: string;
}

export interface Mounted {
  /** The process that serves the mount, where one does. */
  readonly pid?: number;
  /** Requests of the kernel so far, where they can be asked for. */
  readonly requests?: () => Promise<number>;
  /** Unmounts, and waits until nothing of it runs any more. */
  unmount(): Promise<void>;
}

/** Something that is measured. */
export interface Contender {
  readonly name: string;
  /** Why it cannot take part on this machine; undefined where it can. */
  missing(scratch: string): Promise<string | undefined>;
  mount(union: Union, path: string): Promise<Mounted>;
  /** What a user types to mount in the background; a plain directory has none. */
  readonly command?: (union: Union, path: string) => CommandLine;
}

function mountOptions(union: Union, directory: string): string {
  // Relative, as the kernel takes 4,096 bytes of options and a hundred layers have long names.
  const lowers = union.lowers.map((lower) => relative(directory, lower) || '.');
  const parts = [`lowerdir=${lowers.join(':')}`];
  if (union.upper !== undefined) parts.push(`upperdir=${union.upper}`, `workdir=${union.work}`);
  return parts.join(',');
}

/** Where commands that mount on `path` run: beside it. */
export function workingDirectory(path: string): string {
  return join(path, '..');
}

/** Kernel overlayfs, with its own defaults. */
const OVERLAYFS: Contender = {
  name: 'overlayfs',
  async missing() {
    const filesystems = await capture(['cat', '/proc/filesystems']);
    if (/\boverlay$/m.test(filesystems)) return undefined;
    return 'the kernel has no overlayfs (modprobe overlay)';
  },
  command: (union, path) => [
    'mount',
    '-t',
    'overlay',
    'overlay',
    '-o',
    mountOptions(union, workingDirectory(path)),
    path,
  ],
  async mount(union, path) {
    await run(this.command?.(union, path) ?? ['false'], { cwd: workingDirectory(path) });
    return { unmount: () => run(['umount', path]) };
  },
};

const POLL_MILLISECONDS = 5;

async function untilMounted(path: string, daemon: ChildProcess, messages: () => string): Promise<void> {
  const before = statSync(join(path, '..')).dev;
  while (statSync(path).dev === before) {
    if (daemon.exitCode !== null || daemon.signalCode !== null) {
      throw new Error(`${daemon.spawnargs.join(' ').slice(0, 120)}: ended before it mounted: ${messages().trim()}`);
    }
    await sleep(POLL_MILLISECONDS);
  }
}

async function unmountDaemon(path: string, daemon: ChildProcess, end: Promise<unknown>): Promise<void> {
  try {
    await run(['umount', path]);
  } catch (error) {
    // Nothing is to be left: a mount in use is detached, and its daemon ends with it.
    await run(['umount', '--lazy', path]).catch(() => undefined);
    daemon.kill('SIGTERM');
    await end;
    throw error;
  }
  await end;
}

/** Serves in the foreground, so that the process is known and ends with the benchmark. */
async function mountDaemon(command: CommandLine, path: string): Promise<Mounted & { readonly pid: number }> {
  const [program, ...parameters] = ['setpriv', '--pdeathsig', 'TERM', ...command] as const;
  const daemon = spawn(program, parameters, { cwd: workingDirectory(path), stdio: ['ignore', 'ignore', 'pipe'] });
  let messages = '';
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => (messages = (messages + text).slice(-4096)));
  const end = once(daemon, 'exit');
  await Promise.race([once(daemon, 'spawn'), end]);
  await untilMounted(path, daemon, () => messages);
  return { pid: daemon.pid ?? 0, unmount: () => unmountDaemon(path, daemon, end) };
}

const FUSE_OVERLAYFS: Contender = {
  name: 'fuse-overlayfs',
  async missing() {
    return (await hasProgram('fuse-overlayfs')) ? undefined : 'apt-get install fuse-overlayfs';
  },
  command: (union, path) => ['fuse-overlayfs', '-o', mountOptions(union, workingDirectory(path)), path],
  mount: (union, path) =>
    mountDaemon(['fuse-overlayfs', '-f', '-o', mountOptions(union, workingDirectory(path)), path], path),
};

interface Stats {
  readonly requests: Readonly<Record<string, number>>;
}

async function countRequests(distribution: string, path: string): Promise<number> {
  const text = await capture([process.execPath, join(distribution, 'cli/lamina.js'), 'stats', '--json', path]);
  const { requests } = JSON.parse(text) as Stats;
  return Object.values(requests).reduce((sum, count) => sum + count, 0);
}

/** lamina as built in `distribution`, with more options than the union's. */
function lamina(name: string, distribution: string, extra: readonly string[] = []): Contender {
  const program = join(distribution, 'cli/fuse-lamina.js');
  const options = (union: Union, path: string): string =>
    [mountOptions(union, workingDirectory(path)), ...extra].join(',');
  return {
    name,
    missing: () => Promise.resolve(undefined),
    command: (union, path) => [process.execPath, program, '-o', options(union, path), path],
    async mount(union, path) {
      const mounted = await mountDaemon([process.execPath, program, '-f', '-o', options(union, path), path], path);
      return { ...mounted, requests: () => countRequests(distribution, path) };
    },
  };
}

/** The tree on the filesystem itself, with no union: what remains is the cost of the work. */
function plainDirectory(ours: Contender): Contender {
  return {
    name: 'ext4',
    async missing(scratch) {
      const type = (await capture(['findmnt', '-n', '-o', 'FSTYPE', '-T', scratch])).trim();
      return type === 'ext4' ? undefined : `${scratch} is on ${type} (TMPDIR=DIRECTORY chooses another)`;
    },
    async mount(union, path) {
      if (union.upper === undefined) throw new Error('a plain directory is no read-only union');
      const merged = `${path}.source`;
      await mkdir(merged, { recursive: true });
      const source = await ours.mount({ lowers: union.lowers }, merged);
      await run(['cp', '-a', `${merged}/.`, path]).finally(() => source.unmount());
      return { unmount: () => Promise.resolve() };
    },
  };
}

/** What is measured against the peers: lamina as built in `distribution`. */
export function createLamina(distribution: string): Contender {
  return lamina('lamina', distribution);
}

/** Every peer by its name. */
export function createPeers(distribution: string): Contender[] {
  const native = lamina('fuse-native', distribution, ['backend=fuse-native']);
  return [OVERLAYFS, FUSE_OVERLAYFS, native, plainDirectory(createLamina(distribution))];
}
