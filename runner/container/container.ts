import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type ByteString, toBytes } from '../../fs/sys/bytes.ts';
import { withLock } from '../image/lock.ts';
import { type NetworkState } from './network/network-state.ts';
import { type ContainerOptions } from './options/container-options.ts';
import { writeDurably, writeSynced } from '../image/durable-file.ts';
import { type ProcessIdentity, isAlive } from './process-identity.ts';
import { type RootChange } from './spec.ts';
import { type ContainerMount } from './volume/container-mount.ts';

/** How a container's first process is started, in the words of an image's configuration. */
export interface ContainerProcess {
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  /** `NAME=VALUE`, the image's own included. */
  readonly env: readonly string[];
  readonly workingDir: string;
  readonly user: string;
}

/** What a container was made of: written once. */
export interface ContainerConfig {
  /** 64 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  /** As it was asked for. */
  readonly image: string;
  readonly imageId: string;
  /** The image's unpacked layers, absolute paths, the topmost first. */
  readonly layers: readonly ByteString[];
  readonly args: readonly string[];
  /** What was asked for beside the image's own, for images that are made of the container; older ones do not tell. */
  readonly process?: ContainerProcess;
  /** What it was made with, to be started again; older ones do not tell. */
  readonly options?: ContainerOptions;
  /** The image's and its own. */
  readonly labels?: Readonly<Record<string, string>>;
  /** What asks it to end: a name or a number. */
  readonly stopSignal?: string;
  /** RFC 3339. */
  readonly created: string;
}

/** What became of it: replaced at every step, by its supervisor alone while there is one. */
export interface ContainerState {
  readonly status: 'created' | 'starting' | 'running' | 'restarting' | 'exited';
  /** The process that serves the container's filesystem and waits for its end. */
  readonly supervisor?: ProcessIdentity;
  /** The container's first process, by its number outside; before the command has begun, the stage. */
  readonly init?: ProcessIdentity;
  readonly started?: string;
  readonly finished?: string;
  readonly exitCode?: number;
  /** The kernel killed something in it for want of memory. */
  readonly oomKilled?: true;
  /** Of the run that is under way, or was the last. */
  readonly network?: NetworkState;
  /** How its root was changed. */
  readonly rootChange?: RootChange;
  /** Why it could not be started. */
  readonly error?: string;
  /** How often its policy has started it anew. */
  readonly restartCount?: number;
  /** Its user has ended it: `unless-stopped` does not start it again. */
  readonly stopped?: boolean;
}

/** What is true now, whatever the state file says of a supervisor that was killed. */
export type LiveStatus = ContainerState['status'] | 'orphaned' | 'dead';

const MOUNTS = 'mounts.json';

/** A container's directory: its upper, its init layer, its files. */
export class Container {
  readonly config: ContainerConfig;
  readonly directory: string;

  constructor(directory: string, config: ContainerConfig) {
    this.directory = directory;
    this.config = config;
  }

  /** @throws where the directory holds no container. */
  static open(directory: string): Container {
    if (!existsSync(directory)) throw new Error(`container ${basename(directory).slice(0, 12)} has been removed`);
    return new Container(directory, readJson(join(directory, 'config.json')) as ContainerConfig);
  }

  get id(): string {
    return this.config.id;
  }

  /** @throws where it does not tell what it was made with. */
  get options(): ContainerOptions {
    const { options, name } = this.config;
    if (options !== undefined) return options;
    throw new Error(`container ${name} was made by an older lamina and cannot be started again`);
  }

  /** Writes other options down; whoever runs the container reads them when it begins a run. */
  changeOptions(change: (options: ContainerOptions) => ContainerOptions): void {
    this.locked(() => {
      const path = join(this.directory, 'config.json');
      const current = Container.open(this.directory);
      const config = { ...current.config, options: change(current.options) };
      writeDurably(path, JSON.stringify(config), `${path}.new`);
    });
  }

  get upper(): string {
    return join(this.directory, 'upper');
  }

  get work(): string {
    return join(this.directory, 'work');
  }

  get init(): string {
    return join(this.directory, 'init');
  }

  get merged(): string {
    return join(this.directory, 'merged');
  }

  /** Live files that are bound over those of the init layer. */
  get files(): string {
    return join(this.directory, 'files');
  }

  /** Its log, in the format of docker's json-file driver. */
  get log(): string {
    return join(this.directory, `${this.id}-json.log`);
  }

  /** What is mounted in it beside the kernel's filesystems. */
  get mounts(): readonly ContainerMount[] {
    const path = join(this.directory, MOUNTS);
    return existsSync(path) ? (readJson(path) as ContainerMount[]) : [];
  }

  /** Called once, while it is being made. */
  writeMounts(mounts: readonly ContainerMount[]): void {
    if (mounts.length > 0) writeSynced(join(this.directory, MOUNTS), JSON.stringify(mounts));
  }

  /** What lies below the upper, the topmost first. */
  get lowers(): ByteString[] {
    return [toBytes(this.init), ...this.config.layers];
  }

  /** A state file that a power failure spoiled says as much as that of a supervisor that was killed: nothing. */
  readState(): ContainerState {
    try {
      return readJson(join(this.directory, 'state.json')) as ContainerState;
    } catch {
      return { status: 'starting' };
    }
  }

  /** Runs `work`, which changes what the container is at, alone among all processes, if the container is still there. */
  locked<T>(work: () => T): T {
    const config = join(this.directory, 'config.json');
    try {
      return withLock(join(this.directory, 'lock'), () => {
        if (!existsSync(config)) throw this.#gone();
        return work();
      });
    } catch (error) {
      throw existsSync(this.directory) ? error : this.#gone();
    }
  }

  #gone(): Error {
    return new Error(`container ${this.config.name} has been removed`);
  }

  writeState(state: ContainerState): void {
    const path = join(this.directory, 'state.json');
    // Not forced to the disk: no state outlives the machine's.
    writeFileSync(`${path}.new`, JSON.stringify(state), { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/**
 * A container whose supervisor is gone without having said so is dead, unless its first process has escaped the signal
 * that ties it to the supervisor: then it is orphaned, and runs on without its filesystem.
 */
export function liveStatus({ status, supervisor, init }: ContainerState): LiveStatus {
  if (status === 'exited' || status === 'created') return status;
  if (supervisor !== undefined && isAlive(supervisor)) return status;
  return init !== undefined && isAlive(init) ? 'orphaned' : 'dead';
}

/** Whether somebody is at work on it: it may be started, or removed, by nobody else. */
export function isLive(state: ContainerState): boolean {
  return !['created', 'exited', 'dead'].includes(liveStatus(state));
}
