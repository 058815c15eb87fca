import { toBytes } from '../../fs/index.ts';
import { type Image } from '../image/image.ts';
import { obtainImage } from '../image/obtain.ts';
import { type Store, openStore } from '../image/store.ts';
import { Warnings } from '../image/warnings.ts';
import { type Container, type ContainerState } from './container.ts';
import { ContainerStore, newContainerId } from './container-store.ts';
import { Cgroup, type GroupBeginning } from './cgroup/cgroup.ts';
import { type RunOptions, createContainer } from './create.ts';
import { imageOfDirectories } from './directories.ts';
import { identify } from './process-identity.ts';
import { SignalForwarder } from './signal-forwarder.ts';
import { SIGKILL } from './signals.ts';
import { RunError } from './spec.ts';
import { type StandardStreams } from './client-output.ts';
import { StandardIo } from './standard-io.ts';
import { type Beginning, beginRun } from './supervisor/run-of-container.ts';
import { Supervisor } from './supervisor/supervisor.ts';
import { prepareRoot } from './driver/root.ts';
import { isRootless } from './userns.ts';

/** How a container is run in the foreground. */
export interface ForegroundOptions {
  readonly streams: StandardStreams;
  /** Signals go to the command. */
  readonly forwardsSignals: boolean;
  /** Told of the container before it is started. */
  readonly created: (container: Container) => void;
  /** Takes what goes wrong after the command has begun, when the exit code is the command's own. */
  readonly report: (message: string) => void;
}

/**
 * Runs a command in a new container and waits for its end, as the container's supervisor; answers docker's exit code.
 * Call it where `enterUserNamespace` has been.
 */
export async function run(options: RunOptions, foreground: ForegroundOptions): Promise<number> {
  const isLogged = options.container.lifecycle.log.driver !== 'none';
  const ios: StandardIo[] = [];
  const begin = (streams: StandardStreams): Promise<Beginning> => {
    const io = new StandardIo(streams, isLogged);
    ios.push(io);
    return beginRun(io, options.container);
  };
  const first = begin(foreground.streams);
  // The first thing that waits for it may be late.
  first.catch(() => undefined);
  prepareRoot(options.container);
  const signals = new SignalForwarder({
    kill: (signal) =>
      void first.then(
        ({ stage }) => stage.kill(signal),
        () => undefined,
      ),
  });
  let foregroundRun: ForegroundRun | undefined;
  let exitCode: number;
  try {
    foregroundRun = new ForegroundRun(options, foreground, first, begin, signals);
    exitCode = await foregroundRun.execute();
  } finally {
    await end(first);
    await foregroundRun?.endGroup();
    for (const io of ios) await io.drain();
    signals.close();
  }
  for (const io of ios) io.checkWritten();
  return exitCode;
}

async function end(beginning: Promise<Beginning>): Promise<void> {
  const begun = await beginning.catch(() => undefined);
  begun?.stage.kill(SIGKILL);
  await begun?.stage.exited;
}

class ForegroundRun {
  readonly #options: RunOptions;
  readonly #foreground: ForegroundOptions;
  readonly #first: Promise<Beginning>;
  readonly #begin: (streams: StandardStreams) => Promise<Beginning>;
  readonly #signals: SignalForwarder;
  readonly #store: Store;
  readonly #containers: ContainerStore;
  #group: Beginning['group'];

  constructor(
    options: RunOptions,
    foreground: ForegroundOptions,
    first: Promise<Beginning>,
    begin: (streams: StandardStreams) => Promise<Beginning>,
    signals: SignalForwarder,
  ) {
    this.#options = options;
    this.#foreground = foreground;
    this.#first = first;
    this.#begin = begin;
    this.#signals = signals;
    this.#store = openStore();
    this.#containers = new ContainerStore(this.#store.root, (id) => this.#store.release(id));
  }

  async execute(): Promise<number> {
    // Who waits for gigabytes may change their mind.
    const aborted = this.#signals.aborted.then((exitCode) => {
      throw new RunError('ended by a signal before there was an image', exitCode);
    });
    const { report } = this.#foreground;
    // Where there can be no stage, nothing is pulled.
    const refused = this.#first.then(() => aborted);
    const image = await Promise.race([imageOf(this.#store, this.#options, report), aborted, refused]);
    const first = await this.#first;
    const id = newContainerId();
    const group = this.#beginGroup(id, first);
    // Of an ordinary user, systemd may make it, which takes longer.
    if (!isRootless()) await group.made.catch(() => undefined);
    const container = createContainer(this.#store, this.#containers, image, { ...this.#options, id }, ourState());
    this.#foreground.created(container);
    const { streams, forwardsSignals } = this.#foreground;
    const supervisor = new Supervisor(
      container,
      { ...first, group: group.joined },
      {
        store: this.#store,
        image,
        containers: this.#containers,
        // What the client's input held is gone with the first run.
        begin: () => this.#begin({ ...streams, stdin: false }),
        report,
        abortCode: () => this.#signals.abortCode,
      },
    );
    const begin = (): void => this.#signals.begin(forwardsSignals ? supervisor : undefined);
    // Why it did not start is told by `supervise`.
    supervisor.started.then(begin, () => undefined);
    const listening = supervisor.listen();
    listening.catch((error: unknown) => report(String(error)));
    return supervisor.supervise();
  }

  // The kernel takes its time to move a process from group to group: meanwhile the container is made.
  #beginGroup(id: string, { stage }: Beginning): GroupBeginning {
    const { resources, security } = this.#options.container;
    const group = Cgroup.begin(id, stage.pid, resources, security.privileged);
    this.#group = group.joined;
    // Whoever supervises the container waits for it, and tells what was wrong.
    group.joined.catch(() => undefined);
    return group;
  }

  /** Ends the group of a container that has not come to be supervised; to be called when its stage has ended. */
  async endGroup(): Promise<void> {
    const group = await this.#group?.catch(() => undefined);
    await group?.end();
  }
}

/** Of a container whose stage is there. */
function ourState(): ContainerState {
  const supervisor = identify(process.pid);
  return { status: 'starting', ...(supervisor === undefined ? {} : { supervisor }) };
}

/** The image of a new container; what is odd about it is reported. */
export async function imageOf(store: Store, options: RunOptions, report: (message: string) => void): Promise<Image> {
  if (options.directories !== undefined) return imageOfDirectories(options.directories.map(toBytes));
  const warnings = new Warnings();
  const image = await obtainImage(store, options.image, warnings, options.obtain);
  for (const line of warnings.lines()) report(line);
  return image;
}
