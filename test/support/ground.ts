import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdtempSync, readlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type Identity } from './agent.ts';
import { System } from './system.ts';

/** What a program said and how it ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Kinds of ground. In a user namespace, root is an ordinary user of the machine. */
export type GroundKind = 'root' | 'user namespace';

// The host's ids that a user namespace made by root gets: outside of what a machine's users have.
const FIRST_ID = 100_000;
const IDS = 65_536;

const isRoot = process.getuid?.() === 0;

/**
 * A place to mount in: a mount namespace of its own, so that whatever happens nothing is left behind on the machine, and
 * for `user namespace` a user namespace around it. A holder process keeps it; all others enter it.
 */
export class Ground {
  readonly kind: GroundKind;
  /** A temporary directory that belongs to the ground's root. */
  readonly directory: string;
  readonly #holder: ChildProcess;
  readonly #systems = new Map<string, System>();

  private constructor(kind: GroundKind, directory: string, holder: ChildProcess) {
    this.kind = kind;
    this.directory = directory;
    this.#holder = holder;
  }

  static async open(kind: GroundKind): Promise<Ground> {
    const directory = mkdtempSync(join(tmpdir(), 'lamina-ground-'));
    chmodSync(directory, 0o755);
    const [file = '', ...parameters] = kind === 'root' ? ROOT_HOLDER : userHolder(directory);
    const holder = spawn(file, parameters, { stdio: ['pipe', 'ignore', 'inherit'] });
    await once(holder, 'spawn');
    await untilIn(kind === 'root' ? 'mnt' : 'user', holder);
    if (kind === 'user namespace' && isRoot) mapIds(holder.pid ?? -1, directory);
    return new Ground(kind, directory, holder);
  }

  /** Whether other users than root are there. */
  get hasManyIds(): boolean {
    return this.kind === 'root' || isRoot;
  }

  /** The words that make a command run in this ground. */
  get prefix(): readonly string[] {
    const target = ['nsenter', '-t', String(this.#holder.pid), '--mount'];
    if (this.kind === 'root') return [...target, '--'];
    // An ordinary user is root in there by the map alone, and may not call setgroups(2).
    return [...target, '--user', ...(isRoot ? [] : ['--preserve-credentials']), '--'];
  }

  /** The path by which a process outside, if it is root, reaches what is mounted in here. */
  fromOutside(path: string): string {
    return `/proc/${this.#holder.pid}/root${path}`;
  }

  /**
   * System calls made by root (the default) or another user; one process each, kept until the end.
   *
   * @param which of several processes that have the same rights.
   */
  async system(identity?: Identity, which = 0): Promise<System> {
    const key = JSON.stringify([identity, which]);
    const known = this.#systems.get(key);
    if (known !== undefined) return known;
    const agent = new Agent(this.prefix, identity);
    const system = new System(agent, identity);
    this.#systems.set(key, system);
    await agent.ready();
    return system;
  }

  /** Makes every agent let go of the mounts. */
  async release(): Promise<void> {
    for (const system of this.#systems.values()) await system.release();
  }

  /** Starts a program as the ground's root, in a directory. */
  spawn(command: readonly string[], cwd = this.directory): ChildProcess {
    const [file = '', ...parameters] = [...this.prefix, 'sh', '-c', 'cd "$0" && exec "$@"', cwd, ...command];
    return spawn(file, parameters, { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Runs a program to its end. */
  async run(command: readonly string[], cwd = this.directory): Promise<Ended> {
    return ended(this.spawn(command, cwd));
  }

  /** Runs a program that must succeed; answers what it said. */
  async must(command: readonly string[], cwd = this.directory): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, cwd);
    if (code !== 0) throw new Error(`${command.join(' ').slice(0, 300)} ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Root's number outside. */
  get rootId(): number {
    return this.kind === 'root' || !isRoot ? (process.getuid?.() ?? 0) : FIRST_ID;
  }

  /** Runs a program that must succeed as the machine's root, in this ground's mount namespace. */
  async asMachine(command: readonly string[]): Promise<void> {
    const parameters = ['-t', String(this.#holder.pid), '--mount', '--', ...command];
    const { code, stderr } = await ended(spawn('nsenter', parameters, { stdio: ['ignore', 'pipe', 'pipe'] }));
    if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${stderr}`);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#systems.values()].map((system) => system.agent.stop()));
    const gone = once(this.#holder, 'exit');
    this.#holder.stdin?.end();
    await gone;
    // Unlike Node's own, it goes below paths of over 4,095 bytes.
    execFileSync('rm', ['-rf', this.directory]);
  }
}

/** Waits for a program's end, gathering what it says. */
export async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString('latin1')));
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString('latin1')));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}

// `cat` ends with the test process, whose end of the pipe closes.
const ROOT_HOLDER = ['unshare', '--mount', '--propagation', 'private', 'cat'];

// /dev/fuse is often root's own: a node of the same device is bound over it, in the namespace only. The user namespace
// comes second, since it could not make the node.
function userHolder(directory: string): string[] {
  if (!isRoot) return ['unshare', '--user', '--map-root-user', '--mount', 'cat'];
  const node = join(directory, 'fuse');
  const bind = `mknod -m 0666 ${node} c 10 229 && mount --bind ${node} /dev/fuse`;
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', `${bind} && exec unshare --user --mount cat`];
}

function mapIds(pid: number, directory: string): void {
  for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${pid}/${map}`, `0 ${FIRST_ID} ${IDS}\n`);
  chownSync(directory, FIRST_ID, FIRST_ID);
}

/** Waits until the holder has left our namespace and become `cat`. */
async function untilIn(namespace: 'mnt' | 'user', holder: ChildProcess): Promise<void> {
  const ours = readlinkSync(`/proc/self/ns/${namespace}`);
  for (;;) {
    if (holder.exitCode !== null) throw new Error(`the namespace's holder ended with ${holder.exitCode}`);
    const isOut = readlinkSync(`/proc/${holder.pid}/ns/${namespace}`) !== ours;
    if (isOut && /cat|busybox|coreutils/.test(readlinkSync(`/proc/${holder.pid}/exe`))) return;
    await sleep(5);
  }
}
