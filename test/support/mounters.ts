import { type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ended, type Ground, type GroundKind, ended } from './ground.ts';
import { FUSE_NATIVE_EXCLUSIONS } from './fuse-native.ts';
import { DIST } from './paths.ts';
import { RECORDS_EXCLUSIONS } from './records.ts';
import {
  type Missing,
  firstMissing,
  has,
  hasFuseDevice,
  hasFuseNative,
  hasKernelOverlay,
  hasRootlessKernelOverlay,
  hasUserNamespaces,
  isRoot,
} from './requirements.ts';

/** What a union is made of; paths may be relative to `cwd`. */
export interface Layers {
  /** The topmost first. */
  readonly lowers: readonly string[];
  /** How many of the lowest are data-only. */
  readonly dataOnly?: number;
  readonly upper?: string;
  readonly work?: string;
  readonly options?: readonly string[];
  readonly cwd?: string;
  /** Variables of the daemon, `NAME=value`. */
  readonly environment?: readonly string[];
}

/** A union that is mounted. */
export interface Mounted {
  /** Unmounts, and waits until nothing of it runs any more. */
  unmount(): Promise<void>;
  /** The daemon's process where there is one. */
  readonly daemon?: ChildProcess;
}

/** Something that mounts unions. */
export interface Mounter {
  readonly name: string;
  /** Whose union it is. */
  readonly kind: 'kernel' | 'lamina';
  readonly ground: GroundKind;
  /** Where lamina's is not the default. */
  readonly backend?: 'fuse-native';
  readonly missing: Missing;
  /** Why a row cannot hold here, by its name. */
  readonly excluded?: ReadonlyMap<string, string>;
  mount(ground: Ground, layers: Layers, path: string): Promise<Mounted>;
}

function mountOptions(layers: Layers, own: readonly string[]): string {
  const given = layers.options ?? [];
  const names = given.map(nameOf);
  const regular = layers.lowers.length - (layers.dataOnly ?? 0);
  const dataOnly = layers.lowers.slice(regular).map((lower) => `::${lower}`);
  const parts = [`lowerdir=${layers.lowers.slice(0, regular).join(':')}${dataOnly.join('')}`];
  if (layers.upper !== undefined) parts.push(`upperdir=${layers.upper}`, `workdir=${layers.work}`);
  return [...parts, ...own.filter((option) => !names.includes(nameOf(option))), ...given].join(',');
}

function nameOf(option: string): string {
  return option.replace(/=.*/s, '');
}

/** The reference: kernel overlayfs with everything on. */
export const KERNEL: Mounter = {
  name: 'kernel overlayfs',
  kind: 'kernel',
  ground: 'root',
  missing: firstMissing(isRoot(), hasKernelOverlay()),
  mount(ground, layers, path) {
    // A union without an upper has neither an index nor redirects to write.
    const own = layers.upper === undefined ? ['xino=on'] : ['redirect_dir=on', 'index=on', 'xino=on', 'metacopy=on'];
    return mountKernel(ground, layers, path, own);
  },
};

async function mountKernel(ground: Ground, layers: Layers, path: string, own: readonly string[]): Promise<Mounted> {
  const options = mountOptions(layers, own);
  await ground.must(['mount', '-t', 'overlay', 'overlay', '-o', options, path], layers.cwd);
  return {
    async unmount() {
      await ground.must(['umount', path]);
    },
  };
}

/** Kernel overlayfs as an ordinary user who is root in a user namespace has it: marks in `user.*`, no redirects. */
export const KERNEL_ROOTLESS: Mounter = {
  name: 'kernel overlayfs in a user namespace',
  kind: 'kernel',
  ground: 'user namespace',
  missing: firstMissing(hasUserNamespaces(), hasRootlessKernelOverlay()),
  mount: (ground, layers, path) => mountKernel(ground, layers, path, ['userxattr', 'xino=on']),
};

const POLL = 10;

/** Waits until `path` is another filesystem's than before; throws where the daemon ends instead. */
async function untilMounted(ground: Ground, path: string, daemon: ChildProcess, end: Promise<Ended>): Promise<void> {
  const system = await ground.system();
  const before = (await system.stat(join(path, '..'))).device;
  while ((await system.stat(path)).device === before) {
    if (daemon.exitCode !== null || daemon.signalCode !== null) {
      const { code, stderr, stdout } = await end;
      throw new Error(`the daemon ended with ${code} before it mounted: ${stderr}${stdout}`);
    }
    await sleep(POLL);
  }
}

// A test that is killed leaves no daemon behind.
const WITH_THE_TEST = ['setpriv', '--pdeathsig', 'TERM'];

/** `fuse-lamina`. */
function mountLamina(ground: Ground, layers: Layers, path: string, own: readonly string[] = []): Promise<Mounted> {
  return mountDaemon(ground, layers, path, [join(DIST, 'cli/fuse-lamina')], own);
}

/** A daemon with the command line of fuse-overlayfs, in the foreground, so that its end and its messages are seen. */
async function mountDaemon(
  ground: Ground,
  layers: Layers,
  path: string,
  program: readonly string[],
  own: readonly string[] = [],
): Promise<Mounted> {
  const environment = ['env', ...(layers.environment ?? [])];
  const command = [...WITH_THE_TEST, ...environment, ...program, '-f', '-o', mountOptions(layers, own), path];
  const daemon = ground.spawn(command, layers.cwd);
  const end = ended(daemon);
  await untilMounted(ground, path, daemon, end);
  return {
    daemon,
    async unmount() {
      const { code: refused, stderr: why } = await ground.run(['umount', path]);
      if (refused !== 0) throw new Error(`umount ${path}: ${why}`);
      const { code, stderr } = await end;
      if (code !== 0) throw new Error(`the daemon ended with ${code} after umount: ${stderr}`);
    },
  };
}

/** The device backend as root, with everything on, as the reference has it; the others are as they come. */
export const LAMINA: Mounter = {
  name: 'lamina',
  kind: 'lamina',
  ground: 'root',
  missing: firstMissing(isRoot(), hasFuseDevice()),
  mount: (ground, layers, path) => mountLamina(ground, layers, path, ['metacopy=on']),
};

/** As root, with all data through the kernel's page cache of the union's own files. */
const LAMINA_CACHED: Mounter = {
  ...LAMINA,
  name: 'lamina with passthrough=off',
  mount: (ground, layers, path) => mountLamina(ground, layers, path, ['metacopy=on', 'passthrough=off']),
};

/** The device backend as an ordinary user who is root in a user namespace. */
export const LAMINA_ROOTLESS: Mounter = {
  name: 'lamina in a user namespace',
  kind: 'lamina',
  ground: 'user namespace',
  missing: firstMissing(hasUserNamespaces(), hasFuseDevice()),
  mount: mountLamina,
};

/** As root, with owners, modes and types kept in xattrs. */
const LAMINA_RECORDS: Mounter = {
  name: 'lamina with xattr_permissions',
  kind: 'lamina',
  ground: 'root',
  missing: firstMissing(isRoot(), hasFuseDevice()),
  excluded: RECORDS_EXCLUSIONS,
  mount: (ground, layers, path) => mountLamina(ground, layers, path, ['xattr_permissions=2', 'metacopy=on']),
};

/** The union behind the npm package fuse-native, as root. */
const LAMINA_NATIVE: Mounter = {
  name: 'lamina on fuse-native',
  kind: 'lamina',
  ground: 'root',
  backend: 'fuse-native',
  missing: firstMissing(isRoot(), hasFuseDevice(), hasFuseNative()),
  excluded: FUSE_NATIVE_EXCLUSIONS,
  mount: (ground, layers, path) => mountLamina(ground, layers, path, ['backend=fuse-native']),
};

/** As a suite's mounter for comparison only, where LAMINA_PEERS is set: many rows do not hold there. */
export const FUSE_OVERLAYFS: Mounter = {
  name: 'fuse-overlayfs',
  kind: 'lamina',
  ground: 'root',
  missing: firstMissing(isRoot(), hasFuseDevice(), has('fuse-overlayfs')),
  mount: (ground, layers, path) => mountDaemon(ground, layers, path, ['fuse-overlayfs']),
};

export const FUSE_OVERLAYFS_ROOTLESS: Mounter = {
  ...FUSE_OVERLAYFS,
  name: 'fuse-overlayfs in a user namespace',
  ground: 'user namespace',
  missing: firstMissing(hasUserNamespaces(), hasFuseDevice(), has('fuse-overlayfs')),
};

const PEERS = process.env['LAMINA_PEERS'] ? [FUSE_OVERLAYFS, KERNEL_ROOTLESS] : [];

/** For what is costly: the reference, and each set of rights that the union runs with. */
export const FEW_MOUNTERS: readonly Mounter[] = [KERNEL, LAMINA, LAMINA_ROOTLESS];

export const MOUNTERS: readonly Mounter[] = [KERNEL, LAMINA, LAMINA_ROOTLESS, LAMINA_RECORDS, LAMINA_NATIVE, ...PEERS];

/** For what depends on who reads and writes the data. */
export const DATA_MOUNTERS: readonly Mounter[] = [...MOUNTERS, LAMINA_CACHED];
