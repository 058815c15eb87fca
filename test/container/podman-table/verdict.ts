import { type Case, type Ground } from './case.ts';
import { DIFFERENCES } from './differences.ts';
import { type Sides } from './side.ts';
import { type StepLines, compare } from './transcript.ts';

/** How one case ended. */
export interface Verdict {
  readonly podman: readonly StepLines[];
  readonly lamina: readonly StepLines[];
  /** What they do otherwise. */
  readonly found: readonly string[];
  /** What the case says that they do otherwise. */
  readonly listed: readonly string[];
  readonly reasons: readonly string[];
}

export async function judge(sides: Sides, ground: Ground, one: Case): Promise<Verdict> {
  const [podman, lamina] = await sides.run(one);
  const here = (DIFFERENCES[one.name] ?? []).filter(({ on }) => on === undefined || on === ground);
  return {
    podman,
    lamina,
    found: compare(podman, lamina),
    listed: here.flatMap(({ lines }) => lines),
    reasons: here.map(({ reason }) => reason),
  };
}

/** Neither a difference that is not listed, nor one listed that is gone. */
export function isAsListed({ found, listed }: Verdict): boolean {
  return found.join('\n') === listed.join('\n');
}
