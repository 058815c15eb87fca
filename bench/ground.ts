import { type Sources } from './sources.ts';

/** What all measurements of a benchmark share. */
export interface Ground {
  /** A directory of the benchmark's own, on the filesystem that is measured. */
  readonly scratch: string;
  readonly sources: Sources;
  /** Everything is in a user namespace of an ordinary user. */
  readonly rootless?: boolean;
  readonly signal?: AbortSignal;
}
