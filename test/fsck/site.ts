import { type Finding, type FsckOptions, type FsckReport } from '../../fs/index.ts';
import { fsck } from '../../fs/fsck/index.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import { type Ground } from '../support/ground.ts';
import { type Layers, type Mounter } from '../support/mounters.ts';
import { type System } from '../support/system.ts';
import { type SnapshotOptions, type Tree, makeTree, snapshot } from '../support/tree.ts';

/** An upper with its workdir and two lower layers, in a directory of its own. */
export class Site {
  static #count = 0;
  readonly ground: Ground;
  readonly system: System;
  readonly directory: string;

  private constructor(ground: Ground, system: System) {
    this.ground = ground;
    this.system = system;
    this.directory = `${ground.directory}/site${Site.#count++}`;
  }

  /** @param trees the upper, the topmost lower layer, the one below it. */
  static async make(ground: Ground, ...trees: readonly (Tree | undefined)[]): Promise<Site> {
    const site = new Site(ground, await ground.system());
    await site.system.mkdir(site.directory);
    for (const name of ['work', 'merged']) await site.system.mkdir(site.at(name));
    const names = ['upper', 'top', 'bottom'];
    for (const [index, name] of names.entries()) await makeTree(site.system, site.at(name), trees[index] ?? {});
    return site;
  }

  readonly at = (path: string): string => `${this.directory}/${path}`;

  /** Checks as `lamina fsck` does. */
  check(options: Partial<FsckOptions> = {}): FsckReport {
    const bytes = (name: string) => toBytes(this.at(name));
    const overlay = { upper: bytes('upper'), work: bytes('work'), lowers: [bytes('top'), bytes('bottom')] };
    return fsck({ overlay, ...options });
  }

  /** Mounts the layers, acts, and unmounts. */
  async within<T>(mounter: Mounter, action: () => Promise<T>, layers: Partial<Layers> = {}): Promise<T> {
    const all: Layers = {
      lowers: ['top', 'bottom'],
      upper: 'upper',
      work: 'work',
      cwd: this.directory,
      ...layers,
    };
    const mounted = await mounter.mount(this.ground, all, this.at('merged'));
    try {
      return await action();
    } finally {
      await this.ground.release();
      await mounted.unmount();
    }
  }

  /** The tree that a mount shows, of copies of the upper and the workdir, as mounting changes them. */
  async see(mounter: Mounter, options: SnapshotOptions = {}): Promise<string[]> {
    await this.ground.must(['sh', '-c', 'rm -rf copy && mkdir copy && cp -a upper work copy'], this.directory);
    const own = mounter.kind === 'kernel' ? ['index=off', 'redirect_dir=on', 'metacopy=on'] : ['metacopy=on'];
    const layers = { upper: 'copy/upper', work: 'copy/work', options: own };
    const seen = () => snapshot(this.system, this.at('merged'), options);
    return this.within(mounter, seen, layers).catch((error: unknown) => [`refused: ${String(error)}`]);
  }
}

/** Findings in short. */
export function told(findings: readonly Finding[]): string[] {
  return findings.map(({ kind, layer, path }) => `${kind} ${layer} ${path}`).sort();
}
