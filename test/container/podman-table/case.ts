/** Who runs the containers: root, or an ordinary user with subordinate ids. */
export const GROUNDS = ['root', 'user'] as const;
export type Ground = (typeof GROUNDS)[number];

/** What lamina and podman do otherwise, and why that is right. */
export interface Difference {
  readonly reason: string;
  /** Where it is; on both grounds if it is not said. */
  readonly on?: Ground;
  /** As `compare` prints it: `2- what podman says in the second step`, `2+ what lamina says`. */
  readonly lines: readonly string[];
}

/** One row of the table. */
export interface Case {
  readonly name: string;
  /**
   * Lines of shell in which `it` is the program. One shell runs them all, in a directory that is empty; standard
   * output, standard error and the exit code of each are what is compared. Standard input is empty.
   */
  readonly steps: readonly string[];
  /** What is no matter in the output, besides what is replaced in all: ids, times, the directory, own messages. */
  readonly normalise?: readonly (readonly [what: RegExp, by: string])[];
}

/** Cases of one subject, which their names begin with. */
export function about(subject: string, cases: readonly Case[]): readonly Case[] {
  return cases.map((one) => ({ ...one, name: `${subject}: ${one.name}` }));
}

/** Lines of a difference: steps that end with one code under podman and with another one here. */
export function exits(podman: number, lamina: number, steps: readonly number[]): string[] {
  return steps.flatMap((step) => [`${step}- exit ${podman}`, `${step}+ exit ${lamina}`]);
}
