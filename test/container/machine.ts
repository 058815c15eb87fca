import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { wrote } from './lamina.ts';
import { OPEN_TUN } from './private-host.ts';

/** All that a runner could leave behind, one a line. */
export type Inventory = Readonly<Record<string, readonly string[]>>;

// Its first process waits for what others leave to it. The pause tells its own children from those of others.
const PAUSE = '0.0501';
const HOLD = `${OPEN_TUN}; mount -t tmpfs -o mode=755 run /run && echo ready && while :; do sleep ${PAUSE}; done`;
const TELL_PID = 'echo $$ > "$LAMINA_CLIENT"; exec "$@"';
const LONG = { timeout: 30_000, interval: 20 };

/**
 * A machine of its own as far as processes, mounts, /run, the temporary directory and SysV IPC go: what is there is the
 * tests' own, and all of it can be listed.
 */
export class Machine {
  readonly #directory: string;
  readonly #holder: ChildProcess;
  #hand: ChildProcess | undefined;
  #handPid = '';
  #clients = 0;
  #pid = '';
  /** A command that executes another one on this machine. */
  within: readonly string[] = [];

  private constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'lamina-machine-'));
    mkdirSync(join(this.#directory, 'clients'), { mode: 0o1777 });
    const unshare = ['--pid', '--mount', '--ipc', '--fork', '--mount-proc', '--kill-child'];
    this.#holder = spawn('unshare', [...unshare, 'sh', '-c', HOLD], { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  static async start(): Promise<Machine> {
    const machine = new Machine();
    await wrote(machine.#holder, 'ready');
    await machine.#enter();
    return machine;
  }

  async #enter(): Promise<void> {
    const holder = this.#holder.pid ?? 0;
    this.#pid = readFileSync(`/proc/${holder}/task/${holder}/children`, 'latin1').trim();
    const enter = ['nsenter', `--target=${this.#pid}`, '--pid', '--mount', '--ipc'];
    this.within = [...enter, 'sh', '-c', TELL_PID, 'sh'];
    const shell = [...enter.slice(1), 'sh', '-c', 'echo $$; exec sh'];
    this.#hand = spawn('nsenter', shell, { stdio: ['pipe', 'pipe', 'ignore'] });
    const hand = this.#hand;
    this.#handPid = await new Promise((resolve) =>
      hand.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString('utf8').trim())),
    );
  }

  /** What the environment of a command on this machine must have, and how to learn its process id there. */
  client(): { readonly env: Readonly<Record<string, string>>; readonly pid: () => number | undefined } {
    const file = join(this.#directory, 'clients', String((this.#clients += 1)));
    const pid = (): number | undefined => (existsSync(file) ? Number(readFileSync(file, 'latin1')) : undefined);
    return { env: { LAMINA_CLIENT: file }, pid };
  }

  /** A path of this machine, from outside. */
  path(name: string): string {
    return join(`/proc/${this.#pid}/root`, name);
  }

  /** Its processes by their ids there, with their command lines; none of those that hold the machine. */
  processes(): ReadonlyMap<number, string> {
    const ids = readdirSync(this.path('/proc')).filter((name) => /^\d+$/.test(name) && name !== '1');
    const found = ids.filter((id) => id !== this.#handPid).map((id) => [Number(id), this.#describe(id)] as const);
    return new Map(found.filter(([, line]) => line !== '' && line !== `sleep ${PAUSE}`));
  }

  #describe(id: string): string {
    try {
      const line = readFileSync(this.path(`/proc/${id}/cmdline`), 'utf8')
        .replaceAll('\0', ' ')
        .trim();
      const status = readFileSync(this.path(`/proc/${id}/status`), 'utf8');
      // The holder's, before it executes its program, and after its end.
      if (/^Name:\s+sh$|^State:\s+Z/m.test(status) && /^PPid:\s+1$/m.test(status)) return '';
      return line === '' ? `[${/^Name:\s+(.*)$/m.exec(status)?.[1] ?? ''}]` : line;
    } catch {
      return '';
    }
  }

  /** Whether a process runs; a zombie does not. */
  has(pid: number): boolean {
    try {
      return !/^State:\s+[ZX]/m.test(readFileSync(this.path(`/proc/${pid}/status`), 'latin1'));
    } catch {
      return false;
    }
  }

  /** How many of what /proc lists of a process: its `fd`, or its `task`. */
  count(pid: number, what: 'fd' | 'task'): number {
    return readdirSync(this.path(`/proc/${pid}/${what}`)).length;
  }

  /** In KiB. */
  residentOf(pid: number): number {
    const status = readFileSync(this.path(`/proc/${pid}/status`), 'latin1');
    return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
  }

  kill(pid: number, signal = 'KILL'): void {
    this.#hand?.stdin?.write(`kill -${signal} ${pid}\n`);
  }

  /**
   * @param root of a store.
   * @param ids first digits of the ids of containers, whose control groups are looked for.
   */
  inventory(root: string, ids: readonly string[] = []): Inventory {
    const ipc = ['shm', 'sem', 'msg'].flatMap((name) => {
      const lines = readFileSync(this.path(`/proc/sysvipc/${name}`), 'latin1')
        .trim()
        .split('\n');
      return lines.slice(1);
    });
    return {
      processes: [...this.processes()].map(([pid, line]) => `${pid} ${line}`),
      mounts: mountsOf(this.path('/proc/1/mountinfo')),
      files: [...listed(root), ...listed(this.path('/run')), ...listed(this.temporary)],
      groups: groupsOf(ids),
      ipc,
    };
  }

  /** Waits until nothing is there that was not there before: the kernel ends what was killed a little later. */
  async expectNothingLeft(before: Inventory, root: string, ids: readonly string[], where: string): Promise<void> {
    await expect.poll(() => difference(before, this.inventory(root, ids)), { ...LONG, message: where }).toEqual([]);
  }

  /** Where programs of this machine put what is temporary, where they are told so by TMPDIR. */
  get temporary(): string {
    const path = join(this.#directory, 'temporary');
    mkdirSync(path, { recursive: true, mode: 0o1777 });
    return path;
  }

  close(): void {
    this.#hand?.kill('SIGKILL');
    this.#holder.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** What there is more, and what less. */
function difference(before: Inventory, after: Inventory): string[] {
  return Object.entries(after).flatMap(([kind, lines]) => {
    const known = before[kind] ?? [];
    // Mounts of the real machine, which are copied, go when their directories are removed there.
    const [more, less] = [without(lines, known), kind === 'mounts' ? [] : without(known, lines)];
    return [...more.map((line) => `+ ${kind} ${line}`), ...less.map((line) => `- ${kind} ${line}`)];
  });
}

function without(lines: readonly string[], known: readonly string[]): string[] {
  const set = new Set(known);
  return lines.filter((line) => !set.has(line));
}

function mountsOf(path: string): string[] {
  const lines = readFileSync(path, 'latin1').trim().split('\n');
  return lines.map((line) => line.split(' ').slice(4).join(' ')).sort();
}

function listed(directory: string): string[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries.map((entry) => join(entry.parentPath, entry.name)).sort();
}

const CGROUPS = '/sys/fs/cgroup';

/** Groups of containers, in all hierarchies: at the top, and in a directory of a container runner. */
function groupsOf(ids: readonly string[]): string[] {
  if (ids.length === 0) return [];
  const below = (path: string): string[] => {
    try {
      const entries = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
      return entries.map(({ name }) => join(path, name));
    } catch {
      return [];
    }
  };
  const groups = below(CGROUPS).flatMap((top) => [top, ...below(top).flatMap((path) => [path, ...below(path)])]);
  return groups.filter((path) => ids.some((id) => id !== '' && path.includes(id)));
}
