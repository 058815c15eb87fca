import { type CommandLine } from './command.ts';
import { type Ground } from './ground.ts';
import { type Sizes } from './sizes.ts';
import { type Sources } from './sources.ts';

/** What a workload's numbers are. Of every one of them, less is better. */
export type Unit = 'seconds' | 'bytes' | 'times';

/** A number that the measured part found itself, in the workload's unit, in place of the time that it took. */
export interface Reading {
  readonly value: number;
  /** What else is worth knowing, by name, in the same unit. */
  readonly details?: Readonly<Record<string, number>>;
}

/** A second union of the same lower layers. */
export interface SecondUnion {
  readonly root: string;
  unmount(): Promise<void>;
}

/** Where a workload runs. */
export interface Site {
  /** The union's mount point, or the plain directory that stands for one. */
  readonly root: string;
  /** An empty directory beside it, which is on no union. */
  readonly spare: string;
  readonly sources: Sources;
  /** The process that serves the mount, where one does. */
  readonly daemon?: number;
  /** Runs a program to its end; throws where it fails. */
  readonly run: (...command: CommandLine) => Promise<void>;
  /** The same, and returns what it prints. */
  readonly capture: (...command: CommandLine) => Promise<string>;
  /** Mounts a read-only union of the workload's layers and unmounts it, as its user would. */
  readonly mountOnce: () => Promise<void>;
  readonly mountSecond: () => Promise<SecondUnion>;
}

/** What is measured in place of the contenders, where the work is not done on a mounted union. */
export interface Program {
  readonly name: string;
  /** Why it cannot take part; undefined where it can. */
  missing(): Promise<string | undefined>;
  /** Done before each round, and not measured. */
  prepare?(site: Site): Promise<void>;
  measure(site: Site): Promise<void>;
}

/** One point of a curve. */
export interface Point {
  readonly series: string;
  /** What grows, such as layers. */
  readonly axis: string;
  readonly x: number;
}

/** One thing that is measured. */
export interface Workload {
  readonly name: string;
  readonly description: string;
  /** Seconds where not given. */
  readonly unit?: Unit;
  /** Measure on a new mount, with the kernel's caches dropped. Else they hold what `prepare` left. */
  readonly cold?: boolean;
  /** Why it cannot be measured here; undefined where it can. */
  readonly missing?: (ground: Ground) => Promise<string | undefined>;
  /** The lower layers, the topmost first; the image's where not given. */
  readonly lowers?: (sources: Sources) => Promise<readonly string[]>;
  /** The measured part mounts by itself: nothing is mounted for it, and a plain directory cannot take part. */
  readonly mountsItself?: boolean;
  /** It removes many files, by which who makes some afterwards is slowed down: measured last. */
  readonly removes?: boolean;
  /** Only those with a daemon can take part. */
  readonly needsDaemon?: boolean;
  /** Measured in place of the contenders. */
  readonly programs?: readonly Program[];
  /** How many operations the measured part is made of, to divide requests and system calls by. */
  readonly operations?: number | ((site: Site) => Promise<number>);
  readonly point?: Point;
  /** What is done on the mount before, and not measured. */
  readonly prepare?: (site: Site) => Promise<void>;
  readonly measure: (site: Site) => Promise<void> | Promise<Reading>;
}

/** What workloads are made for. */
export interface Subject {
  readonly sizes: Sizes;
  /** Where lamina is built. */
  readonly distribution: string;
}

/** Makes a group's workloads. */
export type WorkloadGroup = (subject: Subject) => readonly Workload[];
