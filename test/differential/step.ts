/** Who makes a call. */
export type Who = 'root' | 'user' | 'other';

/** A call's own parameters: paths, numbers, and for a scan of a directory the steps between its reads. */
export type Argument = string | number | readonly Step[];

/** One operation as plain data: it travels to the process that does it, and to a file that replays it. */
export interface Step {
  readonly by: Who;
  readonly call: string;
  readonly with: readonly Argument[];
}

/** One layer of a site: made as it is, then changed through a kernel overlayfs over the layers beneath. */
export interface LayerSteps {
  readonly plain: readonly Step[];
  readonly overlaid: readonly Step[];
}

/** What is done in one site: a directory that all layers of a union may have. */
export interface Case {
  /** The topmost first. */
  readonly layers: readonly LayerSteps[];
  /** What is done between one break of the plan and the next. */
  readonly segments: readonly (readonly Step[])[];
}

/** `user: rename a b 0`. */
export function shown(step: Step): string {
  const words = step.with.map((word) => (typeof word === 'object' ? `{ ${word.map(shown).join('; ')} }` : `${word}`));
  return `${step.by}: ${[step.call, ...words].join(' ')}`;
}

/** How many operations there are in steps, those within others included. */
export function count(steps: readonly Step[]): number {
  let sum = 0;
  for (const step of steps) {
    sum += 1;
    for (const word of step.with) if (typeof word === 'object') sum += count(word);
  }
  return sum;
}
