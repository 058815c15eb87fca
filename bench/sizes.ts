/** How large the work is. Everything is fixed before it begins, so that two reports can be compared. */
export interface Sizes {
  /** Files of the archive that is unpacked, and removed. */
  readonly archive: number;
  /** Files of the layer of small files. */
  readonly small: number;
  /** MiB of the file that is read and written in sequence. */
  readonly stream: number;
  /** MiB of the file that is copied up while others are asked for. */
  readonly copyUp: number;
  /** MiB that random reads and writes touch. */
  readonly random: number;
  /** MiB of the file that is read through two mounts. */
  readonly shared: number;
  /** Lookups of names that are not there. */
  readonly lookups: number;
  /** Starts of a program. */
  readonly starts: number;
  /** Starts of perl and python. */
  readonly scripts: number;
  /** Mounts, and starts of a container. */
  readonly mounts: number;
  /** C files of the project that is compiled. */
  readonly project: number;
  /** Files of the git repository. */
  readonly repository: number;
  /** Files of the package that dpkg installs. */
  readonly package: number;
  /** Packages, of twelve files each, of the tree that is made as npm makes it. */
  readonly modules: number;
  /** Entries of the large directory. */
  readonly entries: number;
  /** Files that the kernel knows, for what each takes in the daemon. */
  readonly inodes: number;
  /** Files written with fsync. */
  readonly synced: number;
}

/** What is measured where nothing else is asked for. */
export const DEFAULT_SIZES: Sizes = {
  archive: 10_000,
  small: 10_000,
  stream: 1024,
  copyUp: 2048,
  random: 64,
  shared: 200,
  lookups: 10_000,
  starts: 200,
  scripts: 10,
  mounts: 5,
  project: 300,
  repository: 20_000,
  package: 5_000,
  modules: 500,
  entries: 10_000,
  inodes: 200_000,
  synced: 500,
};

/** Small enough to see in a few minutes that everything runs; its numbers say little. */
export const QUICK_SIZES: Sizes = {
  archive: 200,
  small: 400,
  stream: 8,
  copyUp: 32,
  random: 1,
  shared: 64,
  lookups: 200,
  starts: 5,
  scripts: 1,
  mounts: 1,
  project: 6,
  repository: 200,
  package: 100,
  modules: 10,
  entries: 500,
  inodes: 2_000,
  synced: 20,
};

/** Every size by name. */
export const SIZE_NAMES = Object.keys(DEFAULT_SIZES) as readonly (keyof Sizes)[];

/** `NAME=NUMBER`; undefined where it is not. */
export function parseSize(text: string): Partial<Sizes> | undefined {
  const [, name, number] = /^([a-zA-Z]+)=([1-9]\d{0,8})$/.exec(text) ?? [];
  const known = SIZE_NAMES.find((one) => one === name);
  return known === undefined ? undefined : { [known]: Number(number) };
}
