import fc from 'fast-check';
import { readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { KERNEL, LAMINA } from '../support/mounters.ts';
import setup from '../support/global-setup.ts';
import { firstMissing } from '../support/requirements.ts';
import { type Difference, Pair } from './batch.ts';
import { type Plan, anyCase, anyPlan } from './case.ts';
import { shrink } from './shrink.ts';
import { type Case, shown } from './step.ts';
import { protections } from './protections.ts';
import { VARIANTS } from './variant.ts';

const USAGE = `usage: npm run test:differential -- [--ops N] [--seed S] [--jobs N] [--variant NAME] [--sites N] [--first BATCH] [--site K]
                                    [--keep-going] [--shrink N] [--replay FILE]

Does the same random operations on kernel overlayfs and on lamina, over the same random lower layers, and compares what
each answers, the trees that come of it, and each upper as the other reads it. Needs root.

  --ops N         end after N operations (default 20000)
  --seed S        of the random numbers (default: the time); the same seed does the same
  --variant NAME  mount options, one of ${Object.keys(VARIANTS).join(', ')} (default: all of them in turn)
  --sites N       sequences of operations in one mount (default 100)
  --first BATCH   begin with this batch of the seed's (default 0)
  --jobs N        so many pairs of mounts at once (default 1)
  --site K        of each batch do this site's sequence alone
  --keep-going    go on after a difference; the exit status is 1 all the same
  --shrink N      make so many differences of a batch smaller (default 1)
  --replay FILE   do what a difference was made smaller to, which a run before has written there
`;

/** What a difference is replayed from. */
interface Replay {
  readonly plan: Plan;
  readonly one: Case;
}

function numberOf(value: string | undefined, otherwise: number, name: string): number {
  const number = value === undefined ? otherwise : Number(value);
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`--${name} ${value} is not a whole number`);
  return number;
}

function parsed() {
  const { values } = parseArgs({
    options: {
      ops: { type: 'string' },
      seed: { type: 'string' },
      variant: { type: 'string' },
      sites: { type: 'string' },
      first: { type: 'string' },
      jobs: { type: 'string' },
      replay: { type: 'string' },
      site: { type: 'string' },
      shrink: { type: 'string' },
      'keep-going': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.variant !== undefined && VARIANTS[values.variant] === undefined)
    throw new Error(`--variant ${values.variant} is none of ${Object.keys(VARIANTS).join(', ')}`);
  return {
    ops: numberOf(values.ops, 20_000, 'ops'),
    seed: numberOf(values.seed, Date.now() % 1_000_000_000, 'seed'),
    sites: numberOf(values.sites, 100, 'sites'),
    first: numberOf(values.first, 0, 'first'),
    jobs: numberOf(values.jobs, 1, 'jobs'),
    shrink: numberOf(values.shrink, 1, 'shrink'),
    variants: values.variant === undefined ? Object.keys(VARIANTS) : [values.variant],
    site: values.site === undefined ? undefined : numberOf(values.site, 0, 'site'),
    replay: values.replay,
    keepsGoing: values['keep-going'],
    help: values.help,
  };
}

type Settings = ReturnType<typeof parsed>;

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function tell({ plan, one }: Replay, difference: Difference): void {
  say(`  mounted: ${plan.variant}, ${plan.layers} layers; breaks: ${plan.breaks.join(', ')}`);
  one.layers.forEach(({ plain, overlaid }, index) => {
    for (const step of plain) say(`  layer ${index}: ${shown(step)}`);
    for (const step of overlaid) say(`  layer ${index}, through overlayfs: ${shown(step)}`);
  });
  one.segments.forEach((steps, index) => {
    if (index > 0) say(`  -- ${plan.breaks[index - 1]}`);
    for (const step of steps) say(`  ${shown(step)}`);
  });
  say(`  differ in ${difference.where}`);
  say(`    expected ${difference.expected}`);
  say(`    actual   ${difference.actual}`);
}

async function differenceOf(pair: Pair, { plan, one }: Replay): Promise<Difference | undefined> {
  return (await pair.run(plan, [one])).differences[0];
}

/** Makes a difference small, tells it, and how to see it again. */
async function explain(pair: Pair, replay: Replay, found: Difference, name: string): Promise<void> {
  if ((await differenceOf(pair, replay)) === undefined) {
    say('  it is not there when the sequence is done alone');
    return;
  }
  const fails = async (candidates: readonly Case[]): Promise<boolean[]> => {
    const { differences } = await pair.run(replay.plan, candidates);
    return candidates.map((_, site) => differences.some((difference) => difference.site === site));
  };
  const small = { plan: replay.plan, one: await shrink(replay.one, fails) };
  const again = await differenceOf(pair, small);
  const file = join(tmpdir(), `lamina-difference-${name}.json`);
  writeFileSync(file, JSON.stringify(small));
  say(`made smaller (npm run test:differential -- --replay ${file}):`);
  tell(small, again ?? found);
}

async function replay(pair: Pair, file: string): Promise<boolean> {
  const known = JSON.parse(readFileSync(file, 'utf8')) as Replay;
  const difference = await differenceOf(pair, known);
  if (difference === undefined) say(`${file}: no difference`);
  else tell(known, difference);
  return difference === undefined;
}

/** One of each kind, by call and outcomes: the first of a batch tells most. */
function distinct(differences: readonly Difference[]): Difference[] {
  const kinds = new Map<string, Difference>();
  for (const difference of differences) {
    const kind = [difference.where.split(' ').slice(0, 6), difference.expected, difference.actual].join();
    const short = kind.replace(/\d+/g, '').slice(0, 100);
    if (!kinds.has(short)) kinds.set(short, difference);
  }
  return [...kinds.values()];
}

function add(sums: Map<string, number>, counts: ReadonlyMap<string, number>): void {
  for (const [key, often] of counts) sums.set(key, (sums.get(key) ?? 0) + often);
}

/** What several pairs of unions have come to, each with batches of its own. */
class Exploration {
  readonly #settings: Settings;
  readonly #outcomes = new Map<string, number>();
  readonly #departures = new Map<string, number>();
  readonly #began = Date.now();
  #next: number;
  #operations = 0;
  #found = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#next = settings.first;
  }

  /** Answers whether there is no difference. */
  async run(): Promise<boolean> {
    await Promise.all(Array.from({ length: this.#settings.jobs }, () => withPair((pair) => this.#explore(pair))));
    for (const [key, often] of [...this.#outcomes].sort(([a], [b]) => (a < b ? -1 : 1))) say(`${key}: ${often}`);
    for (const [why, often] of this.#departures) say(`differs on purpose ${often} times: ${why}`);
    const seconds = Math.round((Date.now() - this.#began) / 1_000);
    const { seed } = this.#settings;
    say(`seed ${seed}: ${this.#operations} operations on each in ${seconds} s, ${this.#found} differences`);
    return this.#found === 0;
  }

  async #explore(pair: Pair): Promise<void> {
    const { ops, keepsGoing } = this.#settings;
    while (this.#operations < ops && (this.#found === 0 || keepsGoing)) await this.#batch(pair, this.#next++);
  }

  async #batch(pair: Pair, batch: number): Promise<void> {
    const { ops, site, sites, variants } = this.#settings;
    const seed = this.#settings.seed + batch;
    const [plan] = fc.sample(anyPlan(variants), { seed, numRuns: 1 });
    if (plan === undefined) throw new Error('fast-check made no plan');
    const sampled = fc.sample(anyCase(plan), { seed, numRuns: sites });
    const cases = site === undefined ? sampled : sampled.slice(site, site + 1);
    const { differences, operations, outcomes, departures } = await pair.run(plan, cases);
    add(this.#outcomes, outcomes);
    add(this.#departures, departures);
    this.#operations += operations;
    this.#found += differences.length;
    const rate = Math.round(((Date.now() - this.#began) * 1_000) / this.#operations);
    say(
      `batch ${batch}: ${this.#operations} of ${ops} operations, ${rate} us each; ${plan.variant}, ` +
        `${plan.layers} layers, ${plan.breaks.join(', ')}; ${differences.length} differences`,
    );
    await this.#tell(pair, plan, cases, distinct(differences), batch);
  }

  async #tell(pair: Pair, plan: Plan, cases: readonly Case[], kinds: readonly Difference[], batch: number) {
    const { seed, shrink: explained, site } = this.#settings;
    for (const [index, difference] of kinds.entries()) {
      const one = cases[difference.site];
      const name = `${seed}-${batch}-${site ?? difference.site}`;
      say(`difference in ${name}: ${difference.where}`);
      say(`    expected ${difference.expected}`);
      say(`    actual   ${difference.actual}`);
      if (one !== undefined && index < explained) await explain(pair, { plan, one }, difference, name);
    }
  }
}

async function withPair<Answer>(action: (pair: Pair) => Promise<Answer>): Promise<Answer> {
  const pair = await Pair.open();
  try {
    return await action(pair);
  } finally {
    await pair.close();
  }
}

async function main(): Promise<boolean> {
  const settings = parsed();
  if (settings.help) {
    process.stdout.write(USAGE);
    return true;
  }
  const missing = firstMissing(KERNEL.missing, LAMINA.missing);
  if (missing !== undefined) throw new Error(`the comparison cannot be made here: it ${missing}`);
  setup();
  const { replay: file } = settings;
  const before = protections();
  say(before);
  const agree = await (file === undefined ? new Exploration(settings).run() : withPair((pair) => replay(pair, file)));
  const after = protections();
  if (after !== before)
    throw new Error(`the comparison tells nothing: somebody changed ${before} to ${after}; run it again without that`);
  return agree;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  process.stderr.write(`test:differential: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
