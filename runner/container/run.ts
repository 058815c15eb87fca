import { statSync } from 'node:fs';
import { join } from 'node:path';
import { type Mount, mount, toBytes } from '../../fs/index.ts';
import { type Image } from '../image/image.ts';
import { type Store, openStore } from '../image/store.ts';
import { obtainImage } from '../image/obtain.ts';
import { Warnings } from '../image/warnings.ts';
import { type Container, type ContainerState } from './container.ts';
import { ContainerStore } from './container-store.ts';
import { type MountPoint, createInitLayer } from './init-layer.ts';
import { liveFileVolumes, writeLiveFiles } from './live-files.ts';
import { type RunOptions, commandOf, environmentOf, processOf, workdirOf } from './options.ts';
import { identify } from './process-identity.ts';
import { SignalForwarder } from './signal-forwarder.ts';
import { RunError, type StageSpec, type Volume } from './spec.ts';
import { StageProcess } from './stage-process.ts';
import { StandardIo } from './standard-io.ts';
import { unionOf } from './union.ts';

/**
 * Runs a command in a new container and waits for its end; answers docker's exit code. Call it where
 * `enterUserNamespace` has been.
 *
 * @param report takes what goes wrong after the command has begun, when the exit code is the command's own.
 */
export async function run(options: RunOptions, report: (message: string) => void): Promise<number> {
  const io = new StandardIo(options.interactive);
  const stage = await StageProcess.spawn(io.files);
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
      if (this.#options.remove) this.#remove(container);
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
    const { image: name, name: containerName, hostname, isolatedNetwork, volumes, readOnly } = this.#options;
    const wanted = {
      name: containerName,
      image: name,
      imageId: image.id,
      layers: image.layers,
      args: commandOf(this.#options, image),
      process: processOf(this.#options, image),
    };
    return this.#containers.create(wanted, this.#state('created'), (container) => {
      this.#store.hold(image, container.id);
      writeLiveFiles(container.files, { hostname: hostname ?? shortId(container), hostNetwork: !isolatedNetwork });
      createInitLayer(toBytes(container.init), toBytes(container.upper), image.layers, mountPoints(volumes, readOnly));
    });
  }

  #state(status: ContainerState['status']): ContainerState {
    const client = identify(process.pid);
    const init = identify(this.#stage.pid);
    return { status, ...(client === undefined ? {} : { client }), ...(init === undefined ? {} : { init }) };
  }

  async #serve(container: Container, image: Image): Promise<number> {
    let exitCode: number | undefined;
    const union = await this.#mount(container);
    try {
      exitCode = await this.#wait(container, this.#spec(container, image));
      return exitCode;
    } catch (error) {
      if (error instanceof RunError) exitCode = error.exitCode;
      throw error;
    } finally {
      this.#stage.kill('SIGKILL');
      await this.#stage.exited;
      await this.#unmount(union);
      if (exitCode !== undefined) this.#finish(container, exitCode);
    }
  }

  #mount(container: Container): Promise<Mount> {
    const { backend } = this.#options;
    return mount({
      mountpoint: toBytes(container.merged),
      // Nothing of one that is removed with its end is to survive a power cut (as podman has it).
      overlay: { ...unionOf(container), volatile: this.#options.remove },
      fuse: { fsname: 'lamina', dev: false, ...(backend === undefined ? {} : { backend }) },
    });
  }

  #spec(container: Container, image: Image): StageSpec {
    const options = this.#options;
    const hostname = options.hostname ?? shortId(container);
    const live = liveFileVolumes(container.files).filter((file) => !isCovered(file.destination, options.volumes));
    return {
      rootfs: container.merged,
      hostname,
      args: container.config.args,
      env: environmentOf(options, image, hostname),
      workdir: workdirOf(options, image),
      createWorkdir: options.workdir === undefined,
      user: options.user ?? image.config.user,
      passwdFile: join(container.files, 'passwd'),
      readOnly: options.readOnly,
      isolatedNetwork: options.isolatedNetwork,
      volumes: [...live, ...options.volumes],
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

  #finish(container: Container, exitCode: number): void {
    try {
      container.writeState({ ...container.readState(), status: 'exited', finished: now(), exitCode });
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
function mountPoints(volumes: readonly Volume[], readOnly: boolean): MountPoint[] {
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
