import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ImageRecipe, type Layer, buildArchive, programLayer } from '../../runner/demo/image.ts';
import { DIST } from '../support/paths.ts';

/** An ordinary user of this machine. */
export interface User {
  readonly name: string;
  readonly uid: number;
}

export interface Outcome {
  /** 128 + n where a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Invocation {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const SIGNAL = 128;

// A /dev/fuse that everybody may open, in a mount namespace of its own: the machine's stays as it is.
export const OPEN_FUSE = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  'mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse && umount -l /mnt && exec "$@"',
  'sh',
];

/** The program, with a store of its own, as root or as an ordinary user. */
export class Lamina {
  readonly root: string;
  readonly #user: User | undefined;
  readonly #directory: string;
  readonly #within: readonly string[];

  /**
   * @param parent where the directory of its store is made.
   * @param within a command that executes another one in other surroundings.
   */
  constructor(user?: User, parent = tmpdir(), within: readonly string[] = []) {
    this.#user = user;
    this.#within = within;
    this.#directory = mkdtempSync(join(parent, 'lamina-container-'));
    chmodSync(this.#directory, 0o755);
    this.root = join(this.#directory, 'store');
    mkdirSync(this.root, { mode: 0o700 });
    if (user !== undefined) chownSync(this.root, user.uid, user.uid);
  }

  start(args: readonly string[], { env = {} }: Invocation = {}): ChildProcess {
    const [program = '', ...rest] = this.commandLine(args);
    return spawn(program, rest, { cwd: '/', env: { ...process.env, ...this.environment, ...env } });
  }

  /** What is executed in `environment` for these arguments. */
  commandLine(args: readonly string[]): string[] {
    const user = this.#user;
    const become =
      user === undefined
        ? []
        : [...OPEN_FUSE, 'setpriv', `--reuid=${user.name}`, `--regid=${user.uid}`, '--init-groups'];
    return [...this.#within, ...become, process.execPath, join(DIST, 'cli/lamina.js'), ...args];
  }

  get environment(): Readonly<Record<string, string>> {
    const user = this.#user;
    const home = user === undefined ? {} : { HOME: `/home/${user.name}`, USER: user.name, XDG_RUNTIME_DIR: '' };
    return { ...home, LAMINA_ROOT: this.root };
  }

  async call(args: readonly string[], invocation: Invocation = {}): Promise<Outcome> {
    const child = this.start(args, invocation);
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(invocation.input ?? '');
    return ended(child);
  }

  /** A command in a new container that is removed; throws where it fails. */
  async output(image: string, ...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.call(['run', '--rm', image, ...command]);
    if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
    return stdout;
  }

  async load(recipe: ImageRecipe | Promise<ImageRecipe>): Promise<void> {
    const path = join(this.#directory, 'image.tar');
    writeFileSync(path, await buildArchive(await recipe), { mode: 0o644 });
    const { code, stderr } = await this.call(['load', '-i', path]);
    if (code !== 0) throw new Error(`load: ${stderr}`);
  }

  /** Kills what still runs and removes the store. */
  async close(): Promise<void> {
    const { stdout } = await this.call(['ps', '-aq']);
    const ids = stdout.split('\n').filter((id) => id !== '');
    if (ids.length > 0) await this.call(['rm', '-f', ...ids]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** What a process wrote, and how it ended. */
export async function ended(child: ChildProcess): Promise<Outcome> {
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) =>
      resolve(status ?? SIGNAL + (signal === null ? 0 : constants.signals[signal])),
    );
  });
  return { code, stdout: stdout(), stderr: stderr() };
}

function collect(stream: ChildProcess['stdout']): () => string {
  const chunks: Buffer[] = [];
  stream?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

/** Resolves when the process has written a line that contains `text`. */
export function wrote(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let all = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      all += chunk.toString('utf8');
      if (all.includes(text)) resolve();
    });
    child.once('close', () => reject(new Error(`it ended before it wrote ${JSON.stringify(text)}: ${all}`)));
  });
}

/** An image of the machine's own programs, with layers on top. */
export async function recipe(
  name: string,
  layers: readonly Layer[] = [],
  config: ImageRecipe['config'] = {},
): Promise<ImageRecipe> {
  return {
    name,
    layers: [await programLayer(), ...layers],
    config: { Env: ['PATH=/bin'], Cmd: ['/bin/sh'], ...config },
  };
}

/** A program of this machine that is not in the image of programs, with its libraries. */
export function extraProgram(name: string): Layer {
  const path = realpathSync(execFileSync('which', [name], { encoding: 'utf8' }).trim());
  const listed = spawnSync('ldd', [path], { encoding: 'utf8' }).stdout;
  const libraries = [...listed.matchAll(/(?:^|\s)(\/[^\s:]+) \(0x/gm)].map((match) => match[1] ?? '');
  const file = (name: string, source: string) =>
    ({ type: 'file', name, content: readFileSync(source), mode: 0o755 }) as const;
  return {
    title: name,
    entries: [file(`bin/${name}`, path), ...libraries.map((library) => file(library.slice(1), library))],
  };
}

/** Process ids outside of those that were started by exactly this command line. */
export function processesOf(commandLine: string): number[] {
  const listed = execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' }).split('\n');
  const found = listed.map((line) => /^\s*(\d+) (.*)$/.exec(line));
  return found.filter((match) => match?.[2] === commandLine).map((match) => Number(match?.[1]));
}

/** Makes an ordinary user without subordinate ids, or with a range. */
export function makeUser(name: string, range?: { readonly start: number; readonly count: number }): User {
  // One that a killed run left.
  spawnSync('userdel', ['--remove', name]);
  // useradd gives a range by itself where /etc/subuid is there.
  const noRange = ['-K', 'SUB_UID_COUNT=0', '-K', 'SUB_GID_COUNT=0'];
  changeUsers('useradd', ...noRange, '--create-home', '--shell', '/bin/sh', name);
  if (range !== undefined) {
    const ids = `${range.start}-${range.start + range.count - 1}`;
    changeUsers('usermod', '--add-subuids', ids, '--add-subgids', ids, name);
  }
  return { name, uid: Number(execFileSync('id', ['-u', name], { encoding: 'utf8' })) };
}

export function removeUser(name: string): void {
  changeUsers('userdel', '--remove', name);
}

const ATTEMPTS = 100;
const PAUSE_MILLISECONDS = 100;

// Tests of other files change users too, and who finds the tables locked is told to try again.
function changeUsers(program: string, ...args: readonly string[]): void {
  for (let attempt = 1; ; attempt += 1) {
    const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
    if (status === 0) return;
    const isLocked = stderr.includes('lock');
    if (!isLocked || attempt === ATTEMPTS) throw error ?? new Error(`${program} ${args.join(' ')}: ${stderr}`);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MILLISECONDS);
  }
}
