import fc from 'fast-check';
import { anyStep, plainLayer } from './arbitrary.ts';
import { type Case, type LayerSteps, type Step } from './step.ts';
import { variantOf } from './variant.ts';

/** What happens to both unions between two segments of their steps. */
export type Break =
  /** Each is mounted again by its own mounter. */
  | 'remount'
  /** Each is mounted by the other's mounter. */
  | 'swap'
  /** The kernel drops what it caches of names and inodes. */
  | 'drop caches'
  | 'nothing';

/** How the unions of a batch are mounted, and what happens to them. */
export interface Plan {
  readonly variant: string;
  readonly layers: number;
  readonly breaks: readonly Break[];
}

const SEGMENT = 70;
const OVERLAID = 25;

const LINKING = new Set(['link', 'linkHeld']);

/** What a layer may be made by, mounted so. */
function allowed(variant: string): (steps: readonly Step[]) => Step[] {
  const { breaksLinks } = variantOf(variant);
  return (steps) => steps.filter(({ call }) => !breaksLinks || !LINKING.has(call));
}

function anyLayer(variant: string): fc.Arbitrary<LayerSteps> {
  const overlaid = fc.oneof(
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(anyStep, { minLength: 5, maxLength: OVERLAID, size: 'max' }) },
  );
  return fc.record({ plain: plainLayer.map(allowed(variant)), overlaid: overlaid.map(allowed(variant)) });
}

/** Steps in one site, over a stack of layers of its own. */
export function anyCase(plan: Plan): fc.Arbitrary<Case> {
  const segments = plan.breaks.length + 1;
  return fc.record({
    layers: fc.array(anyLayer(plan.variant), { minLength: 1, maxLength: plan.layers, size: 'max' }),
    segments: fc.array(fc.array(anyStep, { minLength: SEGMENT / 2, maxLength: SEGMENT, size: 'max' }), {
      minLength: segments,
      maxLength: segments,
      size: 'max',
    }),
  });
}

/** @param variants names of those to choose from. */
export function anyPlan(variants: readonly string[]): fc.Arbitrary<Plan> {
  return fc.record({
    variant: fc.constantFrom(...variants),
    layers: fc.integer({ min: 1, max: 5 }),
    breaks: fc.array(fc.constantFrom<Break>('remount', 'swap', 'drop caches', 'nothing'), {
      minLength: 1,
      maxLength: 3,
      size: 'max',
    }),
  });
}
