import { type CommandLine } from './command.ts';
import { type Sources } from './sources.ts';

/** Where a workload runs. */
export interface Site {
  /** The union's mount point, or the plain directory that stands for one. */
  readonly root: string;
  readonly sources: Sources;
  /** Runs a program to its end; throws where it fails. */
  readonly run: (...command: CommandLine) => Promise<void>;
  /** Mounts a read-only union of the workload's layers and unmounts it, as its user would. */
  readonly mountOnce: () => Promise<void>;
}

/** One thing that is measured. */
export interface Workload {
  readonly name: string;
  readonly description: string;
  /** Measure on a new mount, with the kernel's caches dropped. Else they hold what `prepare` left. */
  readonly cold?: boolean;
  /** The lower layers, the topmost first; the image's where not given. */
  readonly lowers?: (sources: Sources) => Promise<readonly string[]>;
  /** The measured part mounts by itself: nothing is mounted for it, and a plain directory cannot take part. */
  readonly mountsItself?: boolean;
  /** What is done on the mount before, and not measured. */
  readonly prepare?: (site: Site) => Promise<void>;
  readonly measure: (site: Site) => Promise<void>;
}
