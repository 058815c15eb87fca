import { backendOf } from './backend.ts';
import type { AttendedMount } from './daemon.ts';
import type { FsckReport } from './fsck/index.ts';
import type { FsckOptions } from './fsck/options.ts';
import type { FuseOptions } from './fuse/options.ts';
import type { Mount, MountOptions } from './mount.ts';
import type { RegisteredMount } from './registry.ts';
import { startSpareWorker } from './spare-worker.ts';
import type { MountStats } from './stats.ts';
import type { ByteString } from './sys/text.ts';

// What the rest of the program, and other programs, import. What takes time to load is loaded when it is called: a start
// of fuse-lamina parses its arguments and hands over to a daemon.

export { argumentBytes, rawArguments } from './arguments.ts';
export type { Branch } from './branches.ts';
export type { AttendedMount } from './daemon.ts';
export type { FsckReport } from './fsck/index.ts';
export type { FsckOptions } from './fsck/options.ts';
export type { Finding, ProblemKind } from './fsck/problem.ts';
export { mountOptions, parseCommandLine } from './command-line.ts';
export { type Backend, BACKENDS, type FuseOptions } from './fuse/options.ts';
export { fuseRemedy } from './fuse/remedy.ts';
export type { Mount, MountOptions } from './mount.ts';
export { OptionError } from './option-error.ts';
export { type ParsedOptions, parseOptions } from './options.ts';
export type { OverlayOptions } from './overlay/options.ts';
export type { RegisteredMount } from './registry.ts';
export type { MountStats } from './stats.ts';
export { exitNow } from './sys/exit.ts';
export { type ByteString, toBytes, toText } from './sys/text.ts';

/**
 * Mounts a union and serves it from a thread of this process. Resolves once the mount answers; rejects, with nothing
 * mounted, where a layer, the mount point or FUSE does not allow it.
 */
export async function mount(options: MountOptions): Promise<Mount> {
  return (await import('./mount.ts')).mount(options);
}

/** Has what the next mount of this process takes come up while other things are done. What is wrong is said by the mount. */
export function prepareMount(fuse: FuseOptions = {}): void {
  try {
    if (backendOf(fuse) === 'device') startSpareWorker();
  } catch {
    // A name that is no backend's.
  }
}

/**
 * Mounts, and serves until it is unmounted, or SIGTERM, SIGINT or SIGHUP asks for its end. For a process that is there for
 * nothing else: its umask, its working directory and, in most cases, its main thread are the mount's. Rejects where the
 * mount could not be made.
 */
export async function serveInForeground(options: MountOptions): Promise<void> {
  return (await import('./serve-as-daemon.ts')).serveInForeground(options);
}

/**
 * Mounts in a process of its own, which serves until the mount ends. Resolves once the mount answers; rejects with the
 * daemon's reason.
 */
export async function spawnDaemon(options: MountOptions): Promise<void> {
  return (await import('./daemon.ts')).spawnDaemon(options);
}

/**
 * Mounts in a process of its own, which unmounts when it is told to or when this process is no more: for whoever uses
 * the mount itself. Resolves once the mount answers; rejects with the daemon's reason.
 */
export async function mountAttended(options: MountOptions): Promise<AttendedMount> {
  return (await import('./daemon.ts')).mountAttended(options);
}

/** This user's mounts, those included whose daemon has died and that are still there. */
export async function listMounts(): Promise<RegisteredMount[]> {
  return (await import('./mounts.ts')).listMounts();
}

/** The counters of the mount on `path`. */
export async function statsAt(path: ByteString): Promise<MountStats> {
  return (await import('./mounts.ts')).statsAt(path);
}

/**
 * Unmounts the lamina mount on `path`, and cleans up after a daemon that has died.
 * @param lazy detach it though it is in use.
 */
export async function unmountAt(path: ByteString, lazy = false): Promise<void> {
  return (await import('./unmount.ts')).unmountAt(path, lazy);
}

/**
 * Checks an upper and its workdir against the lower layers, without mounting them; where asked, mends what can be mended
 * without loss. Rejects where a layer cannot be opened, and where something that is mounted would be mended.
 */
export async function fsck(options: FsckOptions): Promise<FsckReport> {
  return (await import('./check-upper.ts')).checkUpper(options);
}

/**
 * Writes the index of a layer beside its directory: unions that have it ask the layer's filesystem for little but its files'
 * data. From then on, until it is written anew or removed, the layer must not change. Rejects where the layer cannot be
 * read whole, or the file not be written.
 */
export async function writeLayerIndex(layer: ByteString): Promise<void> {
  (await import('./layer-index/gather.ts')).writeLayerIndex(layer);
}

/** Where the index of a layer is. */
export async function layerIndexPath(layer: ByteString): Promise<ByteString> {
  return (await import('./layer-index/file.ts')).indexPath(layer);
}

/** Why the backend fuse-native cannot be loaded here; empty where it can. */
export async function fuseNativeObstacle(): Promise<string> {
  try {
    const { loadBinding } = await import('./libfuse/package.ts');
    loadBinding();
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
