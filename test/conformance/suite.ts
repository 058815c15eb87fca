import { writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from 'vitest';
import { type Identity, errnoOf } from '../support/agent.ts';
import { type Filesystem, missingFilesystem, mountFilesystem } from '../support/filesystems.ts';
import { Ground } from '../support/ground.ts';
import { type Layers, type Mounted, type Mounter, MOUNTERS } from '../support/mounters.ts';
import { type Missing, firstMissing, isRoot, titled } from '../support/requirements.ts';
import { type Path, type System } from '../support/system.ts';
import { type Tree, makeTree } from '../support/tree.ts';

/** What a row asks of the ground. */
export type Need = 'CAP_FSETID' | 'many ids' | 'trusted xattrs' | 'device nodes' | 'drop caches' | 'open_by_handle_at';

/** One behaviour. */
export interface Row {
  readonly name: string;
  readonly needs?: readonly Need[] | undefined;
  /** Content of the row's directory in each lower, the topmost first. */
  readonly lowers?: readonly Tree[];
  readonly upper?: Tree;
  /** Why a union does not behave so, on purpose: the row is skipped there, and the title says why. */
  readonly differs?: Partial<Record<Mounter['kind'] | Mounter['ground'] | 'fuse-native', string>> | undefined;
  readonly run: (site: Site) => Promise<void>;
  /** What holds once all rows have run and the union is mounted anew: one remount serves them all. */
  readonly after?: (site: Site) => Promise<void>;
}

/** The union that the rows of a suite share. */
export interface Setup {
  /** Lower layers; default: as many as the rows ask for, at least one. */
  readonly lowers?: number;
  /** How many of them, the lowest, are data-only. */
  readonly dataOnly?: number;
  /** Default true; without an upper the union is read-only. */
  readonly upper?: boolean;
  readonly options?: Partial<Record<Mounter['kind'], readonly string[]>>;
  /** What mounts it; default: everything. */
  readonly mounters?: readonly Mounter[];
  /** New filesystems for the layers to be on; else they are where temporary directories are. */
  readonly filesystems?: Filesystems;
  /** Variables of a daemon, `NAME=value`. */
  readonly environment?: readonly string[];
}

interface Filesystems {
  /** One for all layers. */
  readonly all?: Filesystem;
  /** For upper and workdir. */
  readonly upper?: Filesystem;
  /** By lower layer, 0 the topmost. */
  readonly lowers?: readonly (Filesystem | undefined)[];
}

/** Directories that new filesystems are mounted at, below the ground's. */
const ALL = 'all';
const UP = 'up';

/** An ordinary user of the rows. */
export const ALICE: Identity = { uid: 1000, gid: 1000, groups: [] };
export const BOB: Identity = { uid: 1001, gid: 1001, groups: [] };

/** A mounted union and what it is made of; one for all rows of a suite. */
class Bench {
  readonly mounter: Mounter;
  readonly ground: Ground;
  readonly layers: Layers;
  readonly path: string;
  #mounted: Mounted | undefined;

  constructor(mounter: Mounter, ground: Ground, layers: Layers) {
    this.mounter = mounter;
    this.ground = ground;
    this.layers = layers;
    this.path = `${ground.directory}/merged`;
  }

  get mounted(): Mounted | undefined {
    return this.#mounted;
  }

  async mount(): Promise<void> {
    this.#mounted = await this.mounter.mount(this.ground, this.layers, this.path);
  }

  async unmount(): Promise<void> {
    const mounted = this.#mounted;
    this.#mounted = undefined;
    await mounted?.unmount();
  }

  /** Mounts again where a row has left no living mount behind. */
  async revive(): Promise<void> {
    const system = await this.ground.system();
    if (this.#mounted !== undefined && (await errnoOf(system.stat(this.path))) === 'none') return;
    await this.ground.run(['umount', '--lazy', this.path]);
    await this.mount();
  }

  /** Where it does not unmount, the daemon is ended: what hangs in its mount then comes free. */
  async close(): Promise<void> {
    const daemon = this.#mounted?.daemon;
    try {
      await this.unmount();
    } finally {
      daemon?.kill('SIGKILL');
      await this.ground.close();
    }
  }
}

/** What a row works on: its own directory in every layer and in the union. */
export class Site {
  /** Root's system calls. */
  readonly root: System;
  readonly mounter: Mounter;
  readonly ground: Ground;
  readonly #bench: Bench;
  readonly #name: string;

  constructor(bench: Bench, root: System, name: string) {
    this.#bench = bench;
    this.mounter = bench.mounter;
    this.ground = bench.ground;
    this.root = root;
    this.#name = name;
  }

  /** System calls of another user. */
  readonly as = (identity: Identity): Promise<System> => this.#bench.ground.system(identity);

  /** A second process of root. */
  readonly another = (): Promise<System> => this.#bench.ground.system(undefined, 1);

  /** A path in the union; without a name, the row's directory. */
  readonly at = (name: Path = ''): Path => below(`${this.#bench.path}/${this.#name}`, name);

  /** A path in a lower layer, 0 the topmost. */
  readonly lower = (layer: number, name: Path = ''): Path =>
    below(`${this.ground.directory}/${this.layers.lowers[layer]}/${this.#name}`, name);

  /** A path in the upper layer. */
  readonly upper = (name: Path = ''): Path =>
    below(`${this.ground.directory}/${this.layers.upper}/${this.#name}`, name);

  /** The union's root. */
  get mountpoint(): Path {
    return this.#bench.path;
  }

  /** Names of the layers, relative to the ground's directory. */
  get layers(): Layers {
    return this.#bench.layers;
  }

  /** Unmounts and mounts the same layers again. */
  readonly remount = async (): Promise<void> => {
    await this.#bench.unmount();
    await this.#bench.mount();
  };

  /** Runs something while the union is not mounted. */
  readonly unmounted = async (action: () => Promise<void>): Promise<void> => {
    await this.#bench.unmount();
    try {
      await action();
    } finally {
      await this.#bench.mount();
    }
  };
}

/** Makes the kernel forget entries, inodes and pages that are clean. */
export function dropCaches(): void {
  writeFileSync('/proc/sys/vm/drop_caches', '3');
}

function below(directory: Path, name: Path): Path {
  return name === '' ? directory : `${directory}/${name}`;
}

function unmet(need: Need, mounter: Mounter): Missing {
  if (need === 'drop caches') return isRoot();
  if (mounter.ground === 'root') return undefined;
  if (need === 'many ids') return isRoot() === undefined ? undefined : 'the user namespace has one id';
  return `a user namespace has no ${need}`;
}

function missingFor(row: Row, mounter: Mounter): Missing {
  return firstMissing(
    row.differs?.[mounter.kind],
    row.differs?.[mounter.ground],
    mounter.backend === undefined ? undefined : row.differs?.[mounter.backend],
    mounter.excluded?.get(row.name),
    ...(row.needs ?? []).map((need) => unmet(need, mounter)),
  );
}

async function prepare(bench: Bench, rows: readonly (readonly [name: string, row: Row])[]): Promise<void> {
  const system = await bench.ground.system();
  const { lowers, upper, work } = bench.layers;
  const base = bench.ground.directory;
  for (const path of [...lowers, upper, work, 'merged'])
    if (path !== undefined && !(await system.exists(`${base}/${path}`))) await system.mkdir(`${base}/${path}`);
  for (const [name, row] of rows) {
    const made = lowers.map((lower, index) => makeTree(system, `${base}/${lower}/${name}`, row.lowers?.[index] ?? {}));
    await Promise.all(made);
    if (upper !== undefined && row.upper !== undefined) await makeTree(system, `${base}/${upper}/${name}`, row.upper);
  }
}

async function openBench(mounter: Mounter, rows: readonly (readonly [string, Row])[], setup: Setup): Promise<Bench> {
  const ground = await Ground.open(mounter.ground);
  const count = setup.lowers ?? Math.max(1, ...rows.map(([, row]) => row.lowers?.length ?? 0));
  const base = ground.directory;
  const { all, upper, lowers = [] } = setup.filesystems ?? {};
  const below = all === undefined ? '' : `${ALL}/`;
  const inUpper = upper === undefined ? below : `${UP}/`;
  const layers = {
    // Short and relative: 4,096 bytes of options must do for 500 layers, and callers use relative paths too.
    cwd: base,
    lowers: Array.from({ length: count }, (_, index) => `${below}l${index}`),
    ...(setup.dataOnly === undefined ? {} : { dataOnly: setup.dataOnly }),
    ...(setup.upper === false ? {} : { upper: `${inUpper}upper`, work: `${inUpper}work` }),
    options: setup.options?.[mounter.kind] ?? [],
    environment: setup.environment ?? [],
  };
  const bench = new Bench(mounter, ground, layers);
  try {
    if (all !== undefined) await mountFilesystem(ground, ALL, all);
    if (upper !== undefined) await mountFilesystem(ground, UP, upper);
    for (const [index, lower] of lowers.entries())
      if (lower !== undefined) await mountFilesystem(ground, `l${index}`, lower);
    await prepare(bench, rows);
    await bench.mount();
  } catch (error) {
    await ground.close();
    throw error;
  }
  return bench;
}

/** Declares the rows as tests, over everything that mounts. */
export function conformance(title: string, rows: readonly Row[], setup: Setup = {}): void {
  const { all, upper, lowers = [] } = setup.filesystems ?? {};
  const needed = [all, upper, ...lowers].filter((filesystem) => filesystem !== undefined);
  for (const mounter of setup.mounters ?? MOUNTERS) {
    const absent = firstMissing(mounter.missing, ...needed.map(missingFilesystem));
    describe.skipIf(absent !== undefined)(titled(`${title} on ${mounter.name}`, absent), () => {
      const feasible = rows.filter((row) => missingFor(row, mounter) === undefined);
      const named = feasible.map((row, index) => [`row${index}`, row] as const);
      let bench: Bench | undefined;
      beforeAll(async () => {
        // Where no row can hold, neither may the mount.
        if (feasible.length > 0) bench = await openBench(mounter, named, setup);
      });
      beforeEach(() => bench?.revive());
      afterEach(() => bench?.ground.release());
      afterAll(() => bench?.close());
      const declare = (row: Row, title: string, act: (site: Site) => Promise<void>) => {
        const missing = missingFor(row, mounter);
        test.skipIf(missing !== undefined)(titled(title, missing), async () => {
          if (bench === undefined) throw new Error('nothing is mounted');
          await act(new Site(bench, await bench.ground.system(), `row${feasible.indexOf(row)}`));
        });
      };
      for (const row of rows) declare(row, row.name, row.run);
      if (!rows.some(({ after }) => after !== undefined)) return;
      describe('mounted anew', () => {
        beforeAll(async () => {
          await bench?.unmount();
          await bench?.mount();
        });
        for (const row of rows) if (row.after !== undefined) declare(row, row.name, row.after);
      });
    });
  }
}
