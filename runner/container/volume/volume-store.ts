import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { removeTree } from '../../../fs/sys/remove-tree.ts';
import { syncDirectory, writeDurably } from '../../image/durable-file.ts';
import { withLock } from '../../image/lock.ts';
import { checkVolumeName } from './volume-name.ts';

/** A directory of the store that outlives containers, which mount it by its name. */
export interface StoredVolume {
  readonly name: string;
  /** RFC 3339. */
  readonly created: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Made for one container, and removed with it where that is asked for. */
  readonly isAnonymous: boolean;
  /** Absolute path of what is in it. */
  readonly data: string;
}

type VolumeRecord = Pick<StoredVolume, 'name' | 'created' | 'labels' | 'isAnonymous'>;

const RECORD = 'volume.json';
const DATA = '_data';
const HOLDS = 'holds';
const MAKING = '.making-';
const REMOVING = '.removing-';

/** The volumes of a store: a directory each. */
export class VolumeStore {
  readonly #directory: string;
  readonly #containers: string;

  constructor(storeRoot: string) {
    this.#directory = join(storeRoot, 'volumes');
    this.#containers = join(storeRoot, 'containers');
  }

  #locked<T>(work: () => T): T {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    return withLock(join(this.#directory, '.lock'), () => {
      this.#sweep();
      return work();
    });
  }

  /** What killed processes began: whoever has the lock is alone. */
  #sweep(): void {
    const left = readdirSync(this.#directory).filter((entry) => entry.startsWith(MAKING) || entry.startsWith(REMOVING));
    for (const entry of left) this.#removeDirectory(entry);
  }

  #removeDirectory(entry: string): void {
    const fd = openSync(this.#directory, 'r');
    try {
      removeTree(fd, entry);
    } finally {
      closeSync(fd);
    }
  }

  /**
   * Makes a volume, or answers the one that has the name.
   *
   * @param name none for a volume of one container's own.
   * @param container that is to use it: until that is gone, it is not removed.
   */
  create(name: string | undefined, labels: StoredVolume['labels'], container?: string): StoredVolume {
    const chosen = name === undefined ? randomBytes(32).toString('hex') : checkVolumeName(name);
    return this.#locked(() => {
      const volume = this.find(chosen) ?? this.#make(chosen, labels, name === undefined);
      if (container !== undefined) writeFileSync(join(this.#directory, chosen, HOLDS, container), '', { mode: 0o600 });
      return volume;
    });
  }

  #make(name: string, labels: StoredVolume['labels'], isAnonymous: boolean): StoredVolume {
    const aside = join(this.#directory, MAKING + name);
    mkdirSync(aside, { mode: 0o700 });
    mkdirSync(join(aside, HOLDS), { mode: 0o700 });
    mkdirSync(join(aside, DATA));
    const record: VolumeRecord = { name, created: new Date().toISOString(), labels, isAnonymous };
    writeDurably(join(aside, RECORD), JSON.stringify(record), join(aside, `${RECORD}.new`));
    renameSync(aside, join(this.#directory, name));
    syncDirectory(this.#directory);
    return { ...record, data: join(this.#directory, name, DATA) };
  }

  find(name: string): StoredVolume | undefined {
    let text: string;
    try {
      text = readFileSync(join(this.#directory, checkVolumeName(name), RECORD), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    return { ...(JSON.parse(text) as VolumeRecord), data: join(this.#directory, name, DATA) };
  }

  /** The volume of a name, or of the first characters of one. */
  get(reference: string): StoredVolume {
    const found = this.find(reference);
    if (found !== undefined) return found;
    const names = this.#names().filter((name) => name.startsWith(reference));
    const [name] = names;
    if (name === undefined) throw new Error(`no volume ${JSON.stringify(reference)}; "lamina volume ls" lists all`);
    if (names.length > 1) throw new Error(`${reference} is the beginning of ${names.length} names; give more of it`);
    return this.get(name);
  }

  has(reference: string): boolean {
    return this.#names().some((name) => name.startsWith(reference));
  }

  #names(): string[] {
    if (!existsSync(this.#directory)) return [];
    return readdirSync(this.#directory).filter((entry) => !entry.startsWith('.'));
  }

  /** All volumes, by name. */
  list(): StoredVolume[] {
    return this.#names()
      .sort()
      .flatMap((name) => this.find(name) ?? []);
  }

  /** Ids of the containers that have a volume, whether they run or not. */
  usersOf({ name }: StoredVolume): string[] {
    let holders: string[];
    try {
      holders = readdirSync(join(this.#directory, name, HOLDS));
    } catch {
      return [];
    }
    if (holders.length === 0) return [];
    // One that is just being made has the id in its name, too.
    const containers = existsSync(this.#containers) ? readdirSync(this.#containers) : [];
    return holders.filter((id) => containers.some((entry) => entry.includes(id) && !entry.startsWith(REMOVING)));
  }

  /** Removes a volume with all in it. @throws where a container has it. */
  remove(volume: StoredVolume): void {
    const { name } = volume;
    this.#locked(() => {
      const users = this.usersOf(volume).map((id) => id.slice(0, 12));
      if (users.length > 0) throw new Error(`volume ${name} is in use by ${users.join(', ')}: remove that first`);
      if (this.find(name) === undefined) return;
      renameSync(join(this.#directory, name), join(this.#directory, REMOVING + name));
      this.#removeDirectory(REMOVING + name);
    });
  }
}
