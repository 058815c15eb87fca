import { join, relative } from 'node:path';
import { type CommandLine } from '../command.ts';
import { type Ground } from '../ground.ts';

/** What is mounted. Paths are absolute. */
export interface Union {
  /** The topmost first. */
  readonly lowers: readonly string[];
  readonly upper?: string;
  readonly work?: string;
}

/** Requests of the kernel by opcode. */
export type Requests = Readonly<Record<string, number>>;

export interface Mounted {
  /** The process that serves the mount, where one does. */
  readonly pid?: number;
  /** Requests of the kernel so far, where the daemon counts them. */
  readonly requests?: () => Promise<Requests>;
  /** Unmounts, and waits until nothing of it runs any more. */
  unmount(): Promise<void>;
}

/** Something that is measured. */
export interface Contender {
  readonly name: string;
  /** What it is, where its name does not say it. */
  readonly description?: string;
  /** A process serves its mounts. */
  readonly hasDaemon: boolean;
  /** Why it cannot take part on this machine; undefined where it can. */
  missing(ground: Pick<Ground, 'scratch' | 'rootless'>): Promise<string | undefined>;
  mount(union: Union, path: string): Promise<Mounted>;
  /** What a user types to mount in the background; a plain directory has none. */
  readonly command?: (union: Union, path: string) => CommandLine;
}

/** Where commands that mount on `path` run: beside it. */
export function workingDirectory(path: string): string {
  return join(path, '..');
}

/** The string of `-o` for a mount on `path`. `writable` options are for mounts with an upper only. */
export function mountOptions(
  union: Union,
  path: string,
  extra: readonly string[] = [],
  writable: readonly string[] = [],
): string {
  // Relative, as the kernel takes 4,096 bytes of options and a hundred layers have long names.
  const lowers = union.lowers.map((lower) => relative(workingDirectory(path), lower) || '.');
  const upper = union.upper === undefined ? [] : [`upperdir=${union.upper}`, `workdir=${union.work}`, ...writable];
  return [`lowerdir=${lowers.join(':')}`, ...upper, ...extra].join(',');
}
