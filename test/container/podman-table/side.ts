import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { buildArchive } from '../../../runner/demo/image.ts';
import { DIST } from '../../support/paths.ts';
import { OPEN_FUSE, type User, makeUser, removeUser } from '../lamina.ts';
import { type Case, type Ground } from './case.ts';
import { BASE, tableImages } from './images.ts';
import { type StepLines, linesOf } from './transcript.ts';

const SUBORDINATE = { start: 750_000_000, count: 65_536 };
const PATIENCE_SECONDS = 120;

/** podman or lamina, with a store of its own that holds the table's images. */
class Side {
  readonly #directory: string;
  readonly #program: string;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #user: User | undefined;

  constructor(parent: string, program: 'podman' | 'lamina', user: User | undefined) {
    this.#user = user;
    this.#directory = join(parent, program);
    for (const name of ['', 'bin', 'store', 'run', 'runtime', 'steps', 'work']) this.#make(name);
    this.#program = program === 'podman' ? 'podman' : `${process.execPath} ${join(DIST, 'cli/lamina.js')}`;
    this.#environment = program === 'podman' ? this.#podman() : this.#lamina();
    writeFileSync(this.#at('bin/it'), `#!/bin/sh\nexec ${this.#program} "$@"\n`, { mode: 0o755 });
  }

  #at(name: string): string {
    return join(this.#directory, name);
  }

  #make(name: string): void {
    mkdirSync(this.#at(name), { mode: 0o755 });
    if (this.#user !== undefined) chownSync(this.#at(name), this.#user.uid, this.#user.uid);
  }

  /** What this host asks of it: see the constraints of podman in `.ci/run`'s containers. */
  #podman(): Readonly<Record<string, string>> {
    const [storage, engine] = [this.#at('storage.conf'), this.#at('containers.conf')];
    const store = `"${this.#at('store')}"`;
    writeFileSync(
      storage,
      `[storage]\ndriver = "overlay"\ngraphroot = ${store}\nrootless_storage_path = ${store}\n` +
        `runroot = "${this.#at('run')}"\n`,
    );
    writeFileSync(
      engine,
      '[containers]\nnetns = "none"\ndefault_ulimits = []\nlog_driver = "k8s-file"\n' +
        '[engine]\nruntime = "runc"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n',
    );
    return {
      CONTAINERS_STORAGE_CONF: storage,
      CONTAINERS_CONF: engine,
      ...(this.#user === undefined ? {} : { XDG_RUNTIME_DIR: this.#at('runtime') }),
    };
  }

  #lamina(): Readonly<Record<string, string>> {
    return { LAMINA_ROOT: this.#at('store'), LAMINA_NETWORK: 'none' };
  }

  /** A shell, as the user. */
  #shell(script: string): readonly string[] {
    const user = this.#user;
    const path = `PATH=${this.#at('bin')}:${process.env['PATH'] ?? ''}`;
    const variables = Object.entries(this.#environment).map(([name, value]) => `${name}=${value}`);
    const home = user === undefined ? [] : [`HOME=/home/${user.name}`, `USER=${user.name}`];
    const surroundings = ['env', '-i', path, 'HOME=/root', 'LC_ALL=C.UTF-8', ...home, ...variables];
    const become =
      user === undefined
        ? []
        : [...OPEN_FUSE, 'setpriv', `--reuid=${user.uid}`, `--regid=${user.uid}`, '--init-groups'];
    return [...become, ...surroundings, 'sh', '-c', script];
  }

  async load(archive: string): Promise<void> {
    const code = await this.#execute(`cd / && it load -q -i ${archive} >${this.#at('steps/load')} 2>&1`);
    if (code !== 0) throw new Error(`${this.#program} load: ${readFileSync(this.#at('steps/load'), 'utf8')}`);
  }

  /** The exit code. What it wrote is in files: programs that go to the background hold no pipe of ours. */
  async #execute(script: string): Promise<number | null> {
    const [file = '', ...rest] = this.#shell(script);
    const child = spawn(file, rest, { stdio: 'ignore', detached: true });
    const patience = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, PATIENCE_SECONDS * 1000);
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => {
        clearTimeout(patience);
        resolve(code);
      });
    });
  }

  /** Runs a case's steps, and removes what containers they leave. */
  async run(one: Case): Promise<readonly StepLines[]> {
    for (const name of ['steps', 'work']) {
      execFileSync('rm', ['-rf', this.#at(name)]);
      this.#make(name);
    }
    const out = (index: number, what: string): string => this.#at(`steps/${index}.${what}`);
    const steps = one.steps.map(
      (step, index) =>
        `{ ${step}\n} </dev/null >${out(index, 'out')} 2>${out(index, 'err')}\necho $? >${out(index, 'code')}\n`,
    );
    const text = one.steps.join('\n');
    const leaves = / create | --name | -d /.test(text) ? 'it rm -fa -t 0\n' : '';
    const volumes = text.includes('volume') ? 'it volume prune -f\n' : '';
    await this.#execute(`cd ${this.#at('work')}\n${steps.join('')}cd /\n(${leaves}${volumes}) >/dev/null 2>&1`);
    const here = [this.#at('work')];
    return one.steps.map((_, index) => {
      const read = (what: string): string =>
        existsSync(out(index, what)) ? readFileSync(out(index, what), 'utf8') : '';
      const code = read('code');
      if (code === '') return [`not ended after ${PATIENCE_SECONDS} seconds`];
      return linesOf({ stdout: read('out'), stderr: read('err'), code: Number(code) }, one, here);
    });
  }

  async close(): Promise<void> {
    const migrate = this.#user !== undefined && this.#program === 'podman' ? 'it system migrate' : 'true';
    await this.#execute(`cd /; (it rm -fa -t 0; ${migrate}) >/dev/null 2>&1`);
  }
}

/** podman and lamina side by side, as root or as an ordinary user. */
export class Sides {
  readonly #directory = mkdtempSync(join(tmpdir(), 'lamina-table-'));
  readonly #user: User | undefined;
  readonly #podman: Side;
  readonly #lamina: Side;

  constructor(ground: Ground) {
    chmodSync(this.#directory, 0o755);
    this.#user = ground === 'user' ? makeUser(`lamina-table-${process.pid}`, SUBORDINATE) : undefined;
    this.#podman = new Side(this.#directory, 'podman', this.#user);
    this.#lamina = new Side(this.#directory, 'lamina', this.#user);
  }

  /** Loads the same archives into both: of the images that these cases name, and localhost/base. */
  async load(cases: readonly Case[]): Promise<void> {
    const text = cases.flatMap(({ steps }) => steps).join('\n');
    const needed = (await tableImages()).filter(({ name }) => name === BASE || text.includes(name));
    for (const [index, recipe] of needed.entries()) {
      const path = join(this.#directory, `${index}.tar`);
      writeFileSync(path, await buildArchive(recipe), { mode: 0o644 });
      await Promise.all([this.#podman.load(path), this.#lamina.load(path)]);
    }
  }

  async run(one: Case): Promise<readonly [podman: readonly StepLines[], lamina: readonly StepLines[]]> {
    return Promise.all([this.#podman.run(one), this.#lamina.run(one)]);
  }

  async close(): Promise<void> {
    await Promise.all([this.#podman.close(), this.#lamina.close()]);
    // What podman keeps mounted of its own store.
    const under = `grep " ${this.#directory}/" /proc/self/mounts | cut -d" " -f2 | sort -r | xargs -r umount -l`;
    spawnSync('sh', ['-c', under]);
    if (this.#user !== undefined) removeUser(this.#user.name);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
