import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DIST } from '../support/paths.ts';
import { firstMissing, hasFuseDevice, isRoot } from '../support/requirements.ts';

/** Why nothing can be mounted here; undefined where it can. */
export const cannotMount = firstMissing(isRoot(), hasFuseDevice());

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const POLL = 10;
export const PATIENCE = 50_000;

/** Waits for something that another process does; throws where it does not come. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(POLL);
  }
}

/** Mounts of this namespace below a directory, as mountinfo writes them. */
function mountpoints(below: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'latin1').split('\n');
  return lines.map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(`${below}/`));
}

/** A directory with two layers, and the programs that mount them. */
export class Playground {
  readonly path = realpathSync(mkdtempSync(join(tmpdir(), 'lamina-fs-')));
  readonly #children: ChildProcess[] = [];

  constructor() {
    for (const directory of ['A/dir', 'B/dir', 'U', 'W', 'm', 'm2', 'U2', 'W2']) {
      mkdirSync(join(this.path, directory), { recursive: true });
    }
    mkdirSync(join(this.path, 'run'), { mode: 0o700 });
    writeFileSync(join(this.path, 'A/top'), 'top');
    writeFileSync(join(this.path, 'A/dir/upper'), 'upper');
    writeFileSync(join(this.path, 'B/bottom'), 'bottom');
    writeFileSync(join(this.path, 'B/dir/lower'), 'lower');
  }

  /** States of its mounts are its own: lamina in another mount namespace would forget those whose daemon was killed. */
  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, XDG_RUNTIME_DIR: this.at('run') };
  }

  at(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  /** Runs a command in the directory to its end. */
  run(command: readonly string[], environment: NodeJS.ProcessEnv = {}): Ended {
    const [file = '', ...parameters] = command;
    const done = spawnSync(file, parameters, {
      cwd: this.path,
      encoding: 'utf8',
      env: { ...this.environment, ...environment },
      timeout: PATIENCE,
      killSignal: 'SIGKILL',
    });
    if (done.error !== undefined) throw done.error;
    return { code: done.status, stdout: done.stdout, stderr: done.stderr };
  }

  fuseLamina(...parameters: readonly string[]): Ended {
    return this.run([join(DIST, 'cli/fuse-lamina'), ...parameters]);
  }

  /** With variables of the environment. */
  fuseLaminaIn(environment: NodeJS.ProcessEnv, ...parameters: readonly string[]): Ended {
    return this.run([join(DIST, 'cli/fuse-lamina'), ...parameters], environment);
  }

  startFuseLamina(...parameters: readonly string[]): ReturnType<Playground['start']> {
    return this.start([join(DIST, 'cli/fuse-lamina'), ...parameters]);
  }

  lamina(...parameters: readonly string[]): Ended {
    return this.run([process.execPath, join(DIST, 'cli/lamina.js'), ...parameters]);
  }

  /** Starts a command in the directory, to be ended with the playground. */
  start(command: readonly string[]): { child: ChildProcess; end: Promise<Ended> } {
    const [file = '', ...parameters] = command;
    const child = spawn(file, parameters, { cwd: this.path, env: this.environment, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.push(child);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const end = new Promise<Ended>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, stdout, stderr }));
    });
    return { child, end };
  }

  get mounted(): string[] {
    return mountpoints(this.path).map((path) => path.slice(this.path.length + 1));
  }

  /** What `lamina mounts` knows of the mounts in this directory. */
  registered(): { mountpoint: string; pid: number; alive: boolean; readOnly: boolean; branches: unknown[] }[] {
    const { stdout } = this.lamina('mounts', '--json');
    const all = JSON.parse(stdout) as ReturnType<Playground['registered']>;
    return all.filter(({ mountpoint }) => mountpoint.startsWith(`${this.path}/`));
  }

  /** Process id of the daemon that serves `name`. */
  daemonOf(name: string): number {
    const mount = this.registered().find(({ mountpoint }) => mountpoint === this.at(name));
    if (mount === undefined) throw new Error(`lamina mounts does not show ${name}`);
    return mount.pid;
  }

  /** Ends what still runs or is mounted. */
  clear(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const path of mountpoints(this.path).reverse()) spawnSync('umount', ['--lazy', path]);
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** A process that has ended, also where nobody has asked for its status yet. */
export function hasEnded(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}
