import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import { toBytes } from '../../fs/sys/bytes.ts';
import { MNT_DETACH, UMOUNT_NOFOLLOW } from '../../fs/sys/constants.ts';
import { umount } from '../../fs/sys/mount.ts';
import { writeDurably, writeSynced } from '../image/durable-file.ts';
import { withLock } from '../image/lock.ts';
import { removeTree } from '../../fs/sys/remove-tree.ts';
import { Container, type ContainerConfig, type ContainerState } from './container.ts';
import { checkName, randomName } from './names.ts';
import { identify } from './process-identity.ts';

/** What its maker says of a new container; the rest is given to it. */
export type NewContainer = Omit<ContainerConfig, 'id' | 'name' | 'created'> & {
  /** Of `newContainerId`, where it had to be known before. */
  readonly id?: string | undefined;
  readonly name?: string | undefined;
};

/** An id that no other container has. */
export function newContainerId(): string {
  return randomBytes(32).toString('hex');
}

const ID = /^[0-9a-f]{64}$/;
const SUBDIRECTORIES = ['upper', 'work', 'init', 'merged', 'files'];
// A container is made under one of these names and renamed when it is whole; one that goes is renamed first.
const MAKING = '.making-';
const REMOVING = '.removing-';

/** Whether the name of a file among the containers is one's id. */
export function isContainerId(name: string): boolean {
  return ID.test(name);
}

// Who is at work is part of the name, so that there is no moment in which it cannot be told: the boot too, for process
// ids and start times, which count from it, come again.
function transientName(prefix: string, id: string): string {
  const worker = identify(process.pid);
  return [`${prefix}${id}`, worker?.boot ?? '', process.pid, worker?.startTime ?? 0].join('.');
}

function isAbandoned(entry: string): boolean {
  const [boot, pid, startTime] = entry.split('.').slice(-3);
  const worker = identify(Number(pid));
  return worker?.boot !== boot || worker?.startTime !== Number(startTime);
}

const SHORT_ID = 12;

function nameIsTaken(name: string, holder: string): Error {
  return new Error(`container name ${name} is taken by ${holder.slice(0, SHORT_ID)}: "lamina rm ${name}" frees it`);
}

/** The containers of a store: a directory each, and for each name a symlink to the id. */
export class ContainerStore {
  readonly storeRoot: string;
  readonly #directory: string;
  readonly #gone: (id: string) => void;

  /** @param gone told of every container that is there no more, or never came to be. */
  constructor(storeRoot: string, gone: (id: string) => void = () => undefined) {
    this.storeRoot = storeRoot;
    this.#directory = join(storeRoot, 'containers');
    this.#gone = gone;
  }

  get #names(): string {
    return join(this.#directory, '.names');
  }

  #locked<T>(work: () => T): T {
    mkdirSync(this.#names, { recursive: true, mode: 0o700 });
    return withLock(join(this.#directory, '.lock'), work);
  }

  /**
   * Makes a container's directory.
   *
   * @param prepare fills it before it can be seen by others; given paths that change once it is whole.
   */
  create(wanted: NewContainer, state: ContainerState, prepare: (container: Container) => void): Container {
    const { id = newContainerId() } = wanted;
    const making = transientName(MAKING, id);
    const aside = join(this.#directory, making);
    const name = this.#reserve(wanted.name, id, aside);
    try {
      const config = { ...wanted, id, name, created: new Date().toISOString() };
      const draft = new Container(aside, config);
      for (const subdirectory of SUBDIRECTORIES) mkdirSync(join(aside, subdirectory), { mode: 0o700 });
      prepare(draft);
      writeSynced(join(aside, 'config.json'), JSON.stringify(config));
      draft.writeState(state);
      renameSync(aside, join(this.#directory, id));
      return new Container(join(this.#directory, id), config);
    } catch (error) {
      // The name first: what is swept after a kill is found by its directory.
      this.#release(name, id);
      this.#removeDirectory(making);
      this.#gone(id);
      throw error;
    }
  }

  /** Makes a container's directory and takes a name for it; a name whose container is gone is free. */
  #reserve(wanted: string | undefined, id: string, aside: string): string {
    if (wanted !== undefined) checkName(wanted);
    return this.#locked(() => {
      for (;;) {
        const name = wanted ?? randomName();
        const holder = this.#holderOf(name);
        if (holder === undefined) {
          mkdirSync(aside, { mode: 0o700 });
          symlinkSync(id, join(this.#names, name));
          return name;
        }
        if (wanted !== undefined) {
          throw nameIsTaken(name, holder);
        }
      }
    });
  }

  /** The container that has a name; a link that a killed process left behind is removed. */
  #holderOf(name: string): string | undefined {
    const holder = this.#readName(name);
    if (holder === undefined) return undefined;
    const entries = readdirSync(this.#directory);
    if (entries.some((entry) => entry.startsWith(MAKING + holder))) return holder;
    if (entries.includes(holder) && this.#hasName(holder, name)) return holder;
    unlinkSync(join(this.#names, name));
    return undefined;
  }

  /** Whether it is a container's own name, and not one that a killed process was about to give or to take. */
  #hasName(id: string, name: string): boolean {
    const container = this.#tryOpen(id);
    return container === undefined || container.config.name === name;
  }

  #readName(name: string): string | undefined {
    try {
      return readlinkSync(join(this.#names, name));
    } catch {
      return undefined;
    }
  }

  #release(name: string, id: string): void {
    this.#locked(() => {
      if (this.#readName(name) === id) unlinkSync(join(this.#names, name));
    });
  }

  /** Gives a container another name. */
  rename(container: Container, name: string): void {
    checkName(name);
    const { id, directory } = container;
    container.locked(() => {
      const { config } = Container.open(directory);
      if (config.name === name) throw new Error(`container ${id.slice(0, SHORT_ID)} has the name ${name} already`);
      this.#locked(() => {
        const holder = this.#holderOf(name);
        if (holder !== undefined) throw nameIsTaken(name, holder);
        symlinkSync(id, join(this.#names, name));
        // From here on it has the new name: a link of another one is nobody's.
        const path = join(directory, 'config.json');
        writeDurably(path, JSON.stringify({ ...config, name }), `${path}.new`);
        unlinkSync(join(this.#names, config.name));
      });
    });
  }

  #ids(): string[] {
    try {
      return readdirSync(this.#directory).filter((entry) => ID.test(entry));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** All containers, the newest first. */
  list(): Container[] {
    const containers = this.#ids().flatMap((id) => this.#tryOpen(id) ?? []);
    return containers.sort((one, other) => other.config.created.localeCompare(one.config.created));
  }

  // One that is removed while it is being listed is not there.
  #tryOpen(id: string): Container | undefined {
    try {
      return Container.open(join(this.#directory, id));
    } catch {
      return undefined;
    }
  }

  /** Whether a reference means a container, or the ids of several. */
  has(reference: string): boolean {
    const ids = this.#ids();
    const named = this.#readName(reference);
    if (named !== undefined && ids.includes(named) && this.#hasName(named, reference)) return true;
    return /^[0-9a-f]+$/.test(reference) && ids.some((id) => id.startsWith(reference));
  }

  /** Finds a container by name, by id or by the first digits of its id. */
  find(reference: string): Container {
    const ids = this.#ids();
    const named = this.#readName(reference);
    if (named !== undefined && ids.includes(named) && this.#hasName(named, reference)) {
      return Container.open(join(this.#directory, named));
    }
    const found = /^[0-9a-f]+$/.test(reference) ? ids.filter((id) => id.startsWith(reference)) : [];
    const [id] = found;
    if (id === undefined) throw new Error(`no container ${JSON.stringify(reference)}; "lamina ps -a" lists all`);
    if (found.length > 1) throw new Error(`${reference} is the beginning of ${found.length} ids; give more digits`);
    return Container.open(join(this.#directory, id));
  }

  /**
   * Removes a container that does not run, with all its files, and a mount that a dead supervisor left on it.
   *
   * @param check throws where its state does not allow that.
   */
  remove(container: Container, check: (state: ContainerState) => void = () => undefined): void {
    const { id, directory } = container;
    const removing = transientName(REMOVING, id);
    const name = container.locked(() => {
      check(container.readState());
      const { config } = Container.open(directory);
      umount(toBytes(container.merged), MNT_DETACH | UMOUNT_NOFOLLOW);
      renameSync(directory, join(this.#directory, removing));
      return config.name;
    });
    this.#release(name, id);
    this.#removeDirectory(removing);
    this.#gone(id);
    this.sweep();
  }

  /** What killed processes began and did not end. */
  abandoned(): string[] {
    if (!existsSync(this.#directory)) return [];
    const entries = readdirSync(this.#directory);
    return entries.filter((entry) => (entry.startsWith(MAKING) || entry.startsWith(REMOVING)) && isAbandoned(entry));
  }

  /** Finishes what killed processes began. */
  sweep(): void {
    for (const entry of this.abandoned()) {
      const id = /[0-9a-f]{64}/.exec(entry)?.[0] ?? '';
      try {
        for (const name of readdirSync(this.#names)) if (this.#readName(name) === id) this.#release(name, id);
        this.#removeDirectory(entry);
        this.#gone(id);
      } catch {
        // Another sweeps it too, or it cannot be removed: no reason to fail what is not about it.
      }
    }
  }

  #removeDirectory(entry: string): void {
    const fd = openSync(this.#directory, 'r');
    try {
      removeTree(fd, entry);
    } finally {
      closeSync(fd);
    }
  }
}
