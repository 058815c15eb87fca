import { type Case, type LayerSteps, type Step } from './step.ts';

/** Which of several cases still show a difference. */
export type Fails = (candidates: readonly Case[]) => Promise<readonly boolean[]>;

const AT_ONCE = 60;

/** All steps of a case in one list, in a fixed order. */
function stepsOf(one: Case): Step[] {
  return [...one.layers.flatMap(({ plain, overlaid }) => [...plain, ...overlaid]), ...one.segments.flat()];
}

/** The case with each step, told by its place in `stepsOf`, replaced; undefined takes it away. */
function rebuilt(one: Case, change: (step: Step, index: number) => Step | undefined): Case {
  let index = 0;
  const kept = (steps: readonly Step[]): Step[] =>
    steps.map((step) => change(step, index++)).filter((step) => step !== undefined);
  const layers: LayerSteps[] = one.layers.map(({ plain, overlaid }) => ({
    plain: kept(plain),
    overlaid: kept(overlaid),
  }));
  return { layers, segments: one.segments.map(kept) };
}

function without(one: Case, indices: ReadonlySet<number>): Case {
  return rebuilt(one, (step, index) => (indices.has(index) ? undefined : step));
}

async function test(fails: Fails, candidates: readonly Case[]): Promise<boolean[]> {
  const answers: boolean[] = [];
  for (let at = 0; at < candidates.length; at += AT_ONCE)
    answers.push(...(await fails(candidates.slice(at, at + AT_ONCE))));
  return answers;
}

/** Takes away whatever chunks of a size can be missed, together as far as that is possible. */
async function removeChunks(one: Case, size: number, fails: Fails): Promise<Case> {
  const total = stepsOf(one).length;
  const chunks = Array.from(
    { length: Math.ceil(total / size) },
    (_, index) => new Set(Array.from({ length: Math.min(size, total - index * size) }, (__, at) => index * size + at)),
  );
  const alone = await test(
    fails,
    chunks.map((chunk) => without(one, chunk)),
  );
  const needless = chunks.filter((_, index) => alone[index]);
  const together = needless.map((_, index) =>
    without(one, new Set(needless.slice(0, index + 1).flatMap((chunk) => [...chunk]))),
  );
  const still = await test(fails, together);
  const largest = still.lastIndexOf(true);
  return together[largest] ?? one;
}

/** Lets root do whatever need not be another user's. */
async function giveToRoot(one: Case, fails: Fails): Promise<Case> {
  const root = (step: Step): Step => ({ ...step, by: 'root' });
  const others = stepsOf(one).flatMap((step, index) => (step.by === 'root' ? [] : [index]));
  const candidates = others.map((which) => rebuilt(one, (step, index) => (index === which ? root(step) : step)));
  const answers = await test(fails, [rebuilt(one, root), ...candidates]);
  return [rebuilt(one, root), ...candidates][answers.indexOf(true)] ?? one;
}

/** Makes a case that shows a difference as small as can be had by leaving steps out. */
export async function shrink(one: Case, fails: Fails): Promise<Case> {
  let smallest = one;
  for (let size = Math.ceil(stepsOf(one).length / 2); size > 1; size = Math.ceil(size / 2)) {
    smallest = await removeChunks(smallest, size, fails);
  }
  for (let before = Infinity; stepsOf(smallest).length < before;) {
    before = stepsOf(smallest).length;
    smallest = await removeChunks(smallest, 1, fails);
  }
  return giveToRoot(smallest, fails);
}
