import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type Mount, mount, toBytes } from '../../fs/index.ts';
import { type Image } from '../image/image.ts';
import { type Store, openStore } from '../image/store.ts';
import { type ObtainOptions, obtainImage } from '../image/obtain.ts';
import { Warnings } from '../image/warnings.ts';
import { Cgroup } from './cgroup/cgroup.ts';
import { cgroupMounts } from './cgroup/group.ts';
import { type Container, type ContainerState } from './container.ts';
import { ContainerStore } from './container-store.ts';
import { type MountPoint, createInitLayer } from './init-layer.ts';
import { liveFileVolumes, writeLiveFiles } from './live-files.ts';
import { setOomScore } from './oom-score.ts';
import { type ContainerOptions } from './options/container-options.ts';
import { type MountOptions } from './options/mounts.ts';
import { commandOf, environmentOf, processOf, workdirOf } from './options/process.ts';
import { confinementOf } from './confinement.ts';
import { identify } from './process-identity.ts';
import { SignalForwarder } from './signal-forwarder.ts';
import { RunError, type StageSpec, type Volume } from './spec.ts';
import { StageProcess } from './stage-process.ts';
import { StandardIo } from './standard-io.ts';
import { unionOf } from './union.ts';

/** A new container that is wanted: of which image, and what the command line asks for. */
export interface RunOptions {
  readonly image: string;
  /** How it comes into the store; without it, it must be there. */
  readonly obtain?: ObtainOptions;
  readonly name?: string | undefined;
  readonly container: ContainerOptions;
}

/**
 * Runs a command in a new container and waits for its end; answers docker's exit code. Call it where
 * `enterUserNamespace` has been.
 *
 * @param report takes what goes wrong after the command has begun, when the exit code is the command's own.
 */
export async function run(options: RunOptions, report: (message: string) => void): Promise<number> {
  const io = new StandardIo(options.container.process.interactive);
  const stage = await StageProcess.spawn(io.files, options.container.network.mode === 'none' ? 'own' : 'inherited');
  io.handOver();
  const signals = new SignalForwarder(stage);
  let exitCode: number;
  try {
    exitCode = await new Run(options, stage, signals, report).execute();
  } finally {
    stage.kill('SIGKILL');
    await stage.exited;
    await io.drain();
    signals.close();
  }
  io.checkWritten();
  return exitCode;
}

// How long others may hold the mount, such as a container that is just being started and still has a copy of it.
const UNMOUNT_GRACE_MILLISECONDS = 2000;

class Run {
  readonly #options: RunOptions;
  readonly #stage: StageProcess;
  readonly #signals: SignalForwarder;
  readonly #report: (message: string) => void;
  readonly #store: Store;
  readonly #containers: ContainerStore;

  constructor(options: RunOptions, stage: StageProcess, signals: SignalForwarder, report: (message: string) => void) {
    this.#options = options;
    this.#stage = stage;
    this.#signals = signals;
    this.#report = report;
    this.#store = openStore();
    this.#containers = new ContainerStore(this.#store.root, (id) => this.#store.release(id));
  }

  async execute(): Promise<number> {
    const image = await this.#image();
    const container = this.#create(image);
    try {
      return await this.#serve(container, image);
    } finally {
      if (this.#options.container.lifecycle.remove) this.#remove(container);
    }
  }

  async #image(): Promise<Image> {
    const warnings = new Warnings();
    const obtained = obtainImage(this.#store, this.#options.image, warnings, this.#options.obtain);
    // Who waits for gigabytes may change their mind.
    const aborted = this.#signals.aborted.then((exitCode) => {
      throw new RunError('ended by a signal before there was an image', exitCode);
    });
    const image = await Promise.race([obtained, aborted]);
    for (const line of warnings.lines()) this.#report(line);
    return image;
  }

  #create(image: Image): Container {
    const { image: reference, name, container: options } = this.#options;
    const { mounts, network, process } = options;
    const args = commandOf(process, image);
    if (args.length === 0) throw new Error(`image ${reference} has no command: say which one to run after its name`);
    const { id: imageId, layers } = image;
    const wanted = { name, image: reference, imageId, layers, args, process: processOf(process, image), options };
    return this.#containers.create(wanted, this.#state('created'), (container) => {
      this.#store.hold(image, container.id);
      const hostname = process.hostname ?? shortId(container);
      writeLiveFiles(container.files, { hostname, hostNetwork: network.mode === 'host' });
      createInitLayer(toBytes(container.init), toBytes(container.upper), layers, mountPoints(mounts));
    });
  }

  #state(status: ContainerState['status']): ContainerState {
    const client = identify(process.pid);
    const init = identify(this.#stage.pid);
    return { status, ...(client === undefined ? {} : { client }), ...(init === undefined ? {} : { init }) };
  }

  async #serve(container: Container, image: Image): Promise<number> {
    const { resources } = this.#options.container;
    const { pid } = this.#stage;
    if (resources.oomScoreAdj !== undefined) setOomScore(pid, resources.oomScoreAdj);
    const cgroup = await Cgroup.begin(container.id, container.directory, pid, resources);
    try {
      return await this.#serveLimited(container, image, cgroup);
    } finally {
      await cgroup?.end();
    }
  }

  async #serveLimited(container: Container, image: Image, cgroup: Cgroup | undefined): Promise<number> {
    let exitCode: number | undefined;
    const union = await this.#mount(container);
    try {
      exitCode = await this.#wait(container, await this.#spec(container, image, cgroup));
      return exitCode;
    } catch (error) {
      if (error instanceof RunError) exitCode = error.exitCode;
      throw error;
    } finally {
      this.#stage.kill('SIGKILL');
      await this.#stage.exited;
      await this.#unmount(union);
      if (exitCode !== undefined) this.#finish(container, exitCode, cgroup?.hasRunOutOfMemory === true);
    }
  }

  #mount(container: Container): Promise<Mount> {
    const { backend, lifecycle } = this.#options.container;
    return mount({
      mountpoint: toBytes(container.merged),
      // Nothing of one that is removed with its end is to survive a power cut (as podman has it).
      overlay: { ...unionOf(container), volatile: lifecycle.remove },
      fuse: { fsname: 'lamina', dev: false, ...(backend === undefined ? {} : { backend }) },
    });
  }

  async #spec(container: Container, image: Image, cgroup: Cgroup | undefined): Promise<StageSpec> {
    const { process, mounts, network } = this.#options.container;
    const hostname = process.hostname ?? shortId(container);
    const live = liveFileVolumes(container.files).filter((file) => !isCovered(file.destination, mounts.volumes));
    return {
      rootfs: container.merged,
      hostname,
      process: {
        args: container.config.args,
        env: environmentOf(process, image, hostname),
        workdir: workdirOf(process, image),
        createWorkdir: process.workdir === undefined,
        user: process.user ?? image.config.user,
        passwdFile: join(container.files, 'passwd'),
      },
      mounts: { readOnly: mounts.readOnly, volumes: [...live, ...mounts.volumes] },
      network: { own: network.mode === 'none' },
      cgroup: { mounts: cgroup === undefined ? [] : cgroupMounts(cgroup.record) },
      ...(await confinementOf(this.#options.container, this.#store.root)),
    };
  }

  /** Until the container's end. */
  async #wait(container: Container, spec: StageSpec): Promise<number> {
    this.#stage.send(spec);
    const failure = await this.#stage.failure;
    if (failure !== undefined) throw new RunError(failure.message, failure.exitCode);
    container.writeState({ ...this.#state('running'), started: now() });
    this.#signals.begin();
    const exitCode = await this.#stage.exited;
    return this.#signals.abortCode ?? exitCode;
  }

  async #unmount(union: Mount): Promise<void> {
    try {
      await union.unmount();
      await Promise.race([union.closed, delay(UNMOUNT_GRACE_MILLISECONDS)]);
    } catch (error) {
      this.#report(messageOf(error));
    }
    union.forget();
  }

  #finish(container: Container, exitCode: number, oomKilled: boolean): void {
    try {
      const end = { finished: now(), exitCode, ...(oomKilled ? { oomKilled } : {}) };
      container.writeState({ ...container.readState(), status: 'exited', ...end });
    } catch (error) {
      this.#report(messageOf(error));
    }
  }

  #remove(container: Container): void {
    try {
      this.#containers.remove(container);
    } catch (error) {
      this.#report(`container ${container.config.name} could not be removed: ${messageOf(error)}`);
    }
  }
}

function shortId(container: Container): string {
  return container.id.slice(0, 12);
}

function now(): string {
  return new Date().toISOString();
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether a path lies at or below a volume's. */
function isCovered(path: string, volumes: readonly Volume[]): boolean {
  return volumes.some(({ destination }) => path === destination || path.startsWith(`${destination}/`));
}

/** What the init layer must have for the mounts; what lies in another mount is made there. */
function mountPoints({ volumes, readOnly }: MountOptions): MountPoint[] {
  const ownMounts = ['/dev', '/sys'].map((destination) => ({ source: '', destination, readOnly }));
  const points = volumes.filter((volume) => {
    const others = volumes.filter((other) => other !== volume);
    return !isCovered(volume.destination, [...ownMounts, ...others]);
  });
  const temporaries = readOnly ? ['/run', '/tmp', '/var/tmp'] : [];
  return [
    ...points.map(({ source, destination }) => ({ path: toBytes(destination), isDirectory: isDirectory(source) })),
    ...temporaries.map((path) => ({ path, isDirectory: true })),
  ];
}

function isDirectory(path: string): boolean {
  return statSync(path).isDirectory();
}
