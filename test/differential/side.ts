import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { Ground } from '../support/ground.ts';
import { type Layers, type Mounted, type Mounter } from '../support/mounters.ts';
import { type Order, type Place, type Program, type Report } from './protocol.ts';
import { type Seen } from './snapshot.ts';
import { type Variant } from './variant.ts';

// For a mount that hangs.
const PATIENCE = 180_000;

/** A process that does steps. */
class Executor {
  readonly #child: ChildProcess;
  #stderr = '';

  private constructor(prefix: readonly string[]) {
    const loader = join(import.meta.dirname, '../support/typescript.js');
    const command = [...prefix, process.execPath, '--import', loader, join(import.meta.dirname, 'executor.ts')];
    const [file = '', ...parameters] = command;
    this.#child = spawn(file, parameters, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
  }

  static async start(prefix: readonly string[]): Promise<Executor> {
    const executor = new Executor(prefix);
    await executor.#report('its start');
    return executor;
  }

  /** Has it do something, and waits for its answer. */
  order(order: Order): Promise<unknown> {
    const reported = this.#report(order.do);
    this.#child.send(order);
    return reported;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }

  #report(what: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`the executor did not answer ${what}: ${why} ${this.#stderr}`));
      const ended = (code: number | null, signal: string | null) => fail(`it ended with ${signal ?? code}`);
      const patience = setTimeout(() => fail('it hangs'), PATIENCE);
      this.#child.once('exit', ended);
      this.#child.once('message', (report: Report) => {
        clearTimeout(patience);
        this.#child.off('exit', ended);
        if (report.failure === undefined) resolve(report.answer);
        else fail(report.failure);
      });
    });
  }
}

/** One of the two unions that are compared: an upper and a workdir, mounted now by one mounter, now by another. */
export class Side {
  readonly mounter: Mounter;
  readonly ground: Ground;
  readonly #executors: Executor[];
  #mounted: Mounted | undefined;
  #base = '';
  #marks = '';
  #isReference = false;

  private constructor(mounter: Mounter, ground: Ground, executors: Executor[]) {
    this.mounter = mounter;
    this.ground = ground;
    this.#executors = executors;
  }

  /** @param executors how many processes act at once. */
  static async open(mounter: Mounter, executors = 1): Promise<Side> {
    const ground = await Ground.open('root');
    const started = Array.from({ length: executors }, () => Executor.start(ground.prefix));
    return new Side(mounter, ground, await Promise.all(started));
  }

  /** Where the union is mounted. */
  get place(): Place {
    return { root: `${this.#base}/merged`, marks: this.#marks, isReference: this.#isReference };
  }

  /** A directory for one batch, with an empty upper. */
  async begin(name: string): Promise<void> {
    this.#base = `${this.ground.directory}/${name}`;
    await this.ground.must(['mkdir', '-p', ...['upper', 'work', 'merged'].map((entry) => `${this.#base}/${entry}`)]);
  }

  /** @param lowers absolute, the topmost first. */
  async mount(mounter: Mounter, lowers: readonly string[], variant: Variant): Promise<void> {
    const layers: Layers = {
      lowers,
      upper: 'upper',
      work: 'work',
      cwd: this.#base,
      options: variant[mounter.kind],
      ...(mounter.kind === 'lamina' && variant.environment !== undefined ? { environment: variant.environment } : {}),
    };
    this.#marks = variant.marks;
    this.#isReference = mounter.kind === 'kernel';
    this.#mounted = await mounter.mount(this.ground, layers, this.place.root);
  }

  async unmount(): Promise<void> {
    const mounted = this.#mounted;
    await this.#all({ do: 'release' });
    this.#mounted = undefined;
    await mounted?.unmount();
  }

  /** Ends the daemon by SIGKILL, and takes away what it leaves mounted. */
  async kill(): Promise<void> {
    this.#mounted?.daemon?.kill('SIGKILL');
    this.#mounted = undefined;
    await this.ground.must(['umount', '--lazy', this.place.root]);
  }

  /** @param who which of the processes. */
  async run(programs: readonly Program[], place = this.place, who = 0): Promise<string[][]> {
    return (await this.#executor(who).order({ do: 'run', place, programs })) as string[][];
  }

  /** Makes the sites' directories, and fills them. */
  async make(programs: readonly Program[], place: Place): Promise<void> {
    await this.#executor(0).order({ do: 'make', place, programs });
    await this.run(programs, place);
    await this.release();
  }

  async trees(sites: readonly string[]): Promise<Seen[][]> {
    return (await this.#executor(0).order({ do: 'snapshot', place: this.place, sites })) as Seen[][];
  }

  async dropCaches(): Promise<void> {
    await this.#executor(0).order({ do: 'drop caches' });
  }

  release(): Promise<unknown> {
    return this.#all({ do: 'release' });
  }

  /** Takes a batch's directory away. */
  async end(): Promise<void> {
    if (this.#mounted !== undefined) await this.unmount();
    await this.ground.must(['rm', '-rf', this.#base]);
  }

  async close(): Promise<void> {
    const daemon = this.#mounted?.daemon;
    try {
      await Promise.all(this.#executors.map((executor) => executor.stop()));
      await this.#mounted?.unmount();
    } finally {
      daemon?.kill('SIGKILL');
      await this.ground.close();
    }
  }

  #all(order: Order): Promise<unknown> {
    return Promise.all(this.#executors.map((executor) => executor.order(order)));
  }

  #executor(who: number): Executor {
    const executor = this.#executors[who];
    if (executor === undefined) throw new Error(`there is no executor ${who}`);
    return executor;
  }
}
