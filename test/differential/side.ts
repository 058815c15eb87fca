import { Ground } from '../support/ground.ts';
import { type Layers, type Mounted, type Mounter } from '../support/mounters.ts';
import { type System } from '../support/system.ts';
import {
  type SnapshotOptions,
  type Tree,
  directory,
  file,
  hardlink,
  makeTree,
  snapshot,
  symlink,
  whiteout,
} from '../support/tree.ts';
import { type World } from './operations.ts';

const TOP: Tree = {
  a: { a: 'top a', b: { c: 'c', d: file('d', { mode: 0o600, xattrs: { 'user.one': 'below' } }) } },
  c: directory({ a: 'only here' }, { mode: 0o1777, xattrs: { 'trusted.overlay.opaque': 'y' } }),
  d: 'file over directory',
  e: symlink('a'),
};
const BOTTOM: Tree = {
  a: { a: 'bottom a', b: { e: 'e', a: {} }, c: 'bottom c', e: hardlink('c') },
  b: file('b', { mode: 0o4777, uid: 1000, gid: 1000 }),
  f: hardlink('b'),
  c: { b: 'hidden' },
  d: { a: 'hidden' },
};

/** How lamina is mounted. */
export interface Variant {
  readonly options?: readonly string[];
  readonly environment?: readonly string[];
}

/** A union in a ground of its own, with many directories of the same content to act in. */
export class Side {
  readonly mounter: Mounter;
  readonly ground: Ground;
  readonly system: System;
  readonly #variant: Variant;
  #mounted: Mounted | undefined;

  private constructor(mounter: Mounter, ground: Ground, system: System, variant: Variant) {
    this.mounter = mounter;
    this.#variant = variant;
    this.ground = ground;
    this.system = system;
  }

  static async open(mounter: Mounter, sites: number, variant: Variant = {}): Promise<Side> {
    const ground = await Ground.open('root');
    const side = new Side(mounter, ground, await ground.system(), variant);
    await side.#prepare(sites);
    await side.mount(mounter);
    return side;
  }

  async #prepare(sites: number): Promise<void> {
    const { directory: base } = this.ground;
    for (const name of ['l0', 'l1', 'upper', 'work', 'merged']) await this.system.mkdir(`${base}/${name}`);
    await makeTree(this.system, `${base}/l0/0`, { ...TOP, gone: whiteout });
    await makeTree(this.system, `${base}/l1/0`, { ...BOTTOM, gone: 'hidden' });
    for (const path of ['l0/0', 'l1/0', 'l0/0/a']) await this.system.chmod(`${base}/${path}`, 0o777);
    const copy = 'for site in $(seq 1 "$0"); do cp -a l0/0 "l0/$site" && cp -a l1/0 "l1/$site" || exit 1; done';
    await this.ground.must(['sh', '-c', copy, String(sites - 1)]);
  }

  /** Mounts the layers by this union's own mounter or by the other's. */
  async mount(mounter: Mounter): Promise<void> {
    const layers: Layers = {
      lowers: ['l0', 'l1'],
      upper: 'upper',
      work: 'work',
      cwd: this.ground.directory,
      ...(mounter.kind === this.mounter.kind ? this.#variant : {}),
    };
    this.#mounted = await mounter.mount(this.ground, layers, `${this.ground.directory}/merged`);
  }

  async unmount(): Promise<void> {
    const mounted = this.#mounted;
    this.#mounted = undefined;
    await mounted?.unmount();
  }

  /** Ends the daemon by SIGKILL, and takes away what it leaves mounted. */
  async kill(): Promise<void> {
    this.#mounted?.daemon?.kill('SIGKILL');
    this.#mounted = undefined;
    await this.ground.must(['umount', '--lazy', `${this.ground.directory}/merged`]);
  }

  /** @param system whose calls act there. */
  world(site: number, system = this.system): World {
    const base = `${this.ground.directory}/merged/${site}`;
    return { system, at: (path) => (path === '' ? base : `${base}/${path}`), held: new Map() };
  }

  /** The tree of a site, without the times that two runs cannot share. */
  tree(site: number, options: SnapshotOptions = {}): Promise<string[]> {
    return snapshot(this.system, `${this.ground.directory}/merged/${site}`, { times: false, ...options });
  }

  async close(): Promise<void> {
    const daemon = this.#mounted?.daemon;
    try {
      await this.ground.release();
      await this.unmount();
    } finally {
      daemon?.kill('SIGKILL');
      await this.ground.close();
    }
  }
}

/**
 * The trees of sites, or why one cannot be read. Without link counts: how many names of an unchanged lower file are
 * hidden is not kept over a remount.
 */
export async function trees(side: Side, sites: readonly number[]): Promise<string[][]> {
  const all: string[][] = [];
  for (const site of sites)
    all.push(await side.tree(site, { links: false }).catch((error: unknown) => [String(error)]));
  return all;
}
