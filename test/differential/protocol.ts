import { type Step } from './step.ts';

/** Steps to be done in one site. */
export interface Program {
  readonly site: string;
  readonly steps: readonly Step[];
}

/** Where steps are done. */
export interface Place {
  readonly root: string;
  /** What the names of overlayfs's xattrs begin with. */
  readonly marks: string;
  /** Kernel overlayfs: some of what it does is nobody's model. */
  readonly isReference: boolean;
}

/** What an executor is asked to do. */
export type Order =
  | { readonly do: 'make'; readonly place: Place; readonly programs: readonly Program[] }
  | { readonly do: 'run'; readonly place: Place; readonly programs: readonly Program[] }
  | { readonly do: 'release' }
  | { readonly do: 'drop caches' }
  | { readonly do: 'snapshot'; readonly place: Place; readonly sites: readonly string[] };

/** What it answers. */
export interface Report {
  readonly answer?: unknown;
  /** Something that is no errno: a mistake of the suite itself. */
  readonly failure?: string;
}
