import { join } from 'node:path';
import { KERNEL, LAMINA, type Mounter } from '../support/mounters.ts';
import { DIST } from '../support/paths.ts';
import { type Break, type Plan } from './case.ts';
import { DEPARTURES } from './departures.ts';
import { type Program } from './protocol.ts';
import { Side } from './side.ts';
import { type Seen } from './snapshot.ts';
import { type Case, type Step, count, shown } from './step.ts';
import { type Variant, variantOf } from './variant.ts';

/** Something in which two unions, or one before and after, do not agree. */
export interface Difference {
  readonly site: number;
  /** Up to and with what. */
  readonly where: string;
  readonly expected: string;
  readonly actual: string;
}

/** What came of a batch. */
export interface Result {
  readonly differences: readonly Difference[];
  readonly operations: number;
  /** How often each call had each kind of outcome. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** How often there was a difference that is meant, by its reason. */
  readonly departures: ReadonlyMap<string, number>;
}

/** On a layer's root, without which overlayfs looks for no whiteouts by xattr in it. */
const HAS_XATTR_WHITEOUTS: Step = { by: 'root', call: 'markOpaque', with: ['', 'x'] };

/** Kernel overlayfs and lamina, side by side, over the same lower layers. */
export class Pair {
  readonly kernel: Side;
  readonly lamina: Side;
  #batches = 0;

  private constructor(kernel: Side, lamina: Side) {
    this.kernel = kernel;
    this.lamina = lamina;
  }

  static async open(): Promise<Pair> {
    const [kernel, lamina] = await Promise.all([Side.open(KERNEL), Side.open(LAMINA)]);
    return new Pair(kernel, lamina);
  }

  /** Runs cases, each in a site of its own, all in the same mounts. */
  async run(plan: Plan, cases: readonly Case[]): Promise<Result> {
    const batch = new Batch(this, plan, cases, `b${this.#batches++}`);
    await this.kernel.begin(batch.name);
    await this.lamina.begin(batch.name);
    try {
      return await batch.run();
    } finally {
      await this.lamina.end();
      await this.kernel.end();
    }
  }

  async close(): Promise<void> {
    await this.kernel.close();
    await this.lamina.close();
  }
}

class Batch {
  readonly name: string;
  readonly #pair: Pair;
  readonly #plan: Plan;
  readonly #variant: Variant;
  readonly #cases: readonly Case[];
  readonly #lowers: readonly string[];
  readonly #differences: Difference[] = [];
  /** Sites in which something differs: what comes after tells nothing. */
  readonly #parted = new Set<number>();
  readonly #outcomes = new Map<string, number>();
  readonly #departures = new Map<string, number>();
  #operations = 0;
  #swapped = false;

  constructor(pair: Pair, plan: Plan, cases: readonly Case[], name: string) {
    this.name = name;
    this.#pair = pair;
    this.#plan = plan;
    this.#variant = variantOf(plan.variant);
    this.#cases = cases;
    const base = `${pair.kernel.ground.directory}/${name}`;
    this.#lowers = Array.from({ length: plan.layers }, (_, index) => `${base}/layer${index}`);
  }

  async run(): Promise<Result> {
    await this.#makeLayers();
    if (this.#variant.isIndexed === true) await this.#indexLayers();
    await this.#mount();
    const { breaks } = this.#plan;
    for (let segment = 0; segment <= breaks.length; segment += 1) {
      await this.#act(segment);
      await this.#compareTrees(`the trees after segment ${segment}`);
      // What is on disk is the other's to read in the end, whatever came before.
      await this.#break(segment, breaks[segment] ?? 'swap');
    }
    return {
      differences: this.#differences,
      operations: this.#operations,
      outcomes: this.#outcomes,
      departures: this.#departures,
    };
  }

  /** From the bottom upwards: each as it is made, then changed by kernel overlayfs over those beneath. */
  async #makeLayers(): Promise<void> {
    const { kernel } = this.#pair;
    for (let index = this.#lowers.length - 1; index >= 0; index -= 1) {
      const layer = this.#lowers[index] ?? '';
      await kernel.ground.must(['mkdir', layer]);
      const { marks } = this.#variant;
      const place = { root: layer, marks, isReference: false };
      await kernel.make([{ site: '.', steps: [HAS_XATTR_WHITEOUTS] }], place);
      const programs = this.#programs(({ layers }) => layers[index]?.plain);
      await kernel.make(programs, place);
      // Whiteouts by xattr are for lower layers: overlayfs has no such upper.
      const overlaid = this.#programs(({ layers }) =>
        layers[index]?.plain.some(({ call }) => call === 'xattrWhiteout') ? [] : layers[index]?.overlaid,
      );
      if (index < this.#lowers.length - 1) await this.#overlay(layer, this.#lowers.slice(index + 1), overlaid);
    }
  }

  async #indexLayers(): Promise<void> {
    await this.#pair.kernel.ground.must([process.execPath, join(DIST, 'cli/lamina.js'), 'index', ...this.#lowers]);
  }

  async #overlay(upper: string, lowers: readonly string[], programs: readonly Program[]): Promise<void> {
    const { kernel } = this.#pair;
    const busy = programs.filter(({ steps }) => steps.length > 0);
    if (busy.length === 0) return;
    const base = `${upper}.overlaid`;
    await kernel.ground.must(['mkdir', base, `${base}/work`, `${base}/merged`]);
    const layers = { lowers, upper, work: `${base}/work`, options: this.#variant.kernel };
    const mounted = await KERNEL.mount(kernel.ground, layers, `${base}/merged`);
    await kernel.run(busy, { root: `${base}/merged`, marks: this.#variant.marks, isReference: true });
    await kernel.release();
    await mounted.unmount();
    await kernel.ground.must(['rm', '-rf', base]);
  }

  #programs(stepsOf: (one: Case) => readonly Step[] | undefined): Program[] {
    return this.#cases.flatMap((one, site) => {
      const steps = stepsOf(one);
      return steps === undefined ? [] : [{ site: String(site), steps }];
    });
  }

  #agreeing(): number[] {
    return this.#cases.map((_, site) => site).filter((site) => !this.#parted.has(site));
  }

  /** Of the first and the second union, at the moment. */
  #mounters(): [Mounter, Mounter] {
    return this.#swapped ? [LAMINA, KERNEL] : [KERNEL, LAMINA];
  }

  async #mount(): Promise<void> {
    const [first, second] = this.#mounters();
    await this.#pair.kernel.mount(first, this.#lowers, this.#variant);
    await this.#pair.lamina.mount(second, this.#lowers, this.#variant);
  }

  async #act(segment: number): Promise<void> {
    const sites = this.#agreeing();
    const programs = sites.map((site) => ({
      site: String(site),
      steps: this.#cases[site]?.segments[segment] ?? [],
    }));
    const [theirs, ours] = await Promise.all(this.#sides().map((side) => side.run(programs)));
    programs.forEach(({ steps }, index) => {
      this.#operations += count(steps);
      steps.forEach((step, at) => {
        const [expected = '', actual = ''] = [theirs?.[index]?.[at], ours?.[index]?.[at]];
        const key = `${step.call} ${/^(ok|data)\b/.exec(expected)?.[0] ?? expected.split(/[ ,]/, 1)[0]}`;
        this.#outcomes.set(key, (this.#outcomes.get(key) ?? 0) + 1);
        this.#compare(sites[index] ?? 0, `segment ${segment}, step ${at}, ${shown(step)}`, expected, actual);
      });
    });
  }

  /** Kernel overlayfs first: it is the reference. */
  #sides(): [Side, Side] {
    const { kernel, lamina } = this.#pair;
    return this.#swapped ? [lamina, kernel] : [kernel, lamina];
  }

  #compare(site: number, where: string, expected: string, actual: string): void {
    if (expected === actual || this.#parted.has(site)) return;
    const departure = DEPARTURES.find(({ covers }) => covers(where, expected, actual));
    if (departure === undefined) this.#differences.push({ site, where, expected, actual });
    else this.#departures.set(departure.why, (this.#departures.get(departure.why) ?? 0) + 1);
    if (departure?.parts !== false) this.#parted.add(site);
  }

  async #compareTrees(where: string): Promise<void> {
    const sites = this.#agreeing();
    const [theirs = [], ours = []] = await this.#trees(sites);
    sites.forEach((site, index) => this.#compareTree(site, where, theirs[index] ?? [], ours[index] ?? [], false));
  }

  #trees(sites: readonly number[]): Promise<Seen[][][]> {
    return Promise.all(this.#sides().map((side) => side.trees(sites.map(String))));
  }

  #compareTree(site: number, where: string, before: readonly Seen[], after: readonly Seen[], numbers: boolean): void {
    const lines = (tree: readonly Seen[]) =>
      tree.map(({ path, what, ino }) => `${path || '.'} ${what}${numbers ? ` ino ${ino}` : ''}`);
    const [expected, actual] = [lines(before), lines(after)];
    for (let at = 0; at < Math.max(expected.length, actual.length); at += 1)
      this.#compare(site, where, expected[at] ?? 'nothing', actual[at] ?? 'nothing');
  }

  async #break(segment: number, kind: Break): Promise<void> {
    if (kind === 'nothing') return;
    const sites = this.#agreeing();
    const { kernel, lamina } = this.#pair;
    const isSwap = kind === 'swap' && this.#variant.alone === undefined;
    const trees = () => Promise.all([kernel, lamina].map((side) => side.trees(sites.map(String))));
    // The origin of a symlink, which has the number, is an xattr that user.* cannot hold.
    const numbers = this.#variant.marks === 'trusted.overlay.';
    const before = await trees();
    const writers = this.#mounters();
    if (kind === 'drop caches') await kernel.dropCaches();
    else await this.#remount(isSwap);
    const readers = this.#mounters();
    const after = await trees();
    [kernel, lamina].forEach((_, which) => {
      const where = `${kind} after segment ${segment}: shown by ${writers[which]?.name}, then by ${readers[which]?.name}`;
      sites.forEach((site, index) =>
        this.#compareTree(site, where, before[which]?.[index] ?? [], after[which]?.[index] ?? [], numbers),
      );
    });
  }

  async #remount(swap: boolean): Promise<void> {
    await this.#pair.kernel.unmount();
    await this.#pair.lamina.unmount();
    if (swap) this.#swapped = !this.#swapped;
    await this.#mount();
  }
}
