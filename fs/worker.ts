import { parentPort } from 'node:worker_threads';
import { FuseDevice } from './fuse/device.ts';
import { mountFuse, undoMount } from './fuse/mount.ts';
import type { FileSystem } from './filesystem.ts';
import type { FuseOptions } from './fuse/options.ts';
import { Session } from './fuse/session.ts';
import { createOverlay } from './overlay/index.ts';
import type { DirectoriesAhead } from './overlay/look-ahead.ts';
import type { OverlayOptions } from './overlay/options.ts';
import type { ByteString } from './sys/text.ts';
import { CAP_SYS_ADMIN, hasCapability } from './sys/capability.ts';
import { check } from './sys/errno.ts';
import { hasAllIds } from './sys/id-maps.ts';
import { log } from './sys/log.ts';
import { umask } from './sys/metadata.ts';
import { optimizeLater } from './sys/optimize-later.ts';
import { raiseOpenFiles } from './sys/resource-limits.ts';
import { retireDescriptor } from './sys/retire.ts';
import { chdir, leaveSharedDirectory, pageSize, setTimeSlice } from './sys/thread.ts';

/**
 * Nanoseconds that the session's thread asks for the processor at a time: a request takes a tenth of it, and whoever computes
 * beside it, such as who copies a large file up, keeps it waiting less. stat during the copy-up of 2 GiB, p99 of four runs in
 * turns: 383 us, and 842 with the kernel's own; make -j2 0.95 of its time.
 */
const TIME_SLICE = 100_000;

/** What a worker is told first. */
export interface WorkerInput {
  readonly mountpoint: ByteString;
  readonly overlay: OverlayOptions;
  readonly fuse: FuseOptions;
  readonly requests: Float64Array;
}

/** What a worker tells: it is about to serve, or could not begin; in the end, that the union is closed. */
export type WorkerMessage =
  { readonly mounted: true; readonly device: number } | { readonly mounted: false; readonly error: string } | 'ended';

/** What it tells while it serves, before its end: directories that are to be read by others. */
export type WorkerReport = { readonly ahead: DirectoriesAhead } | 'ended';

/**
 * Serves until the kernel ends the session, or the device was retired. Once it was told of, the descriptor is the main
 * thread's to close, when this thread is no more: both may retire it.
 */
function serveDevice(
  fd: number,
  overlay: FileSystem,
  { fuse, requests }: WorkerInput,
  tell: (message: WorkerMessage) => void,
): void {
  const noOpen = fuse.noOpen ?? 'auto';
  const passthrough = noOpen !== 'on' && fuse.passthrough !== 'off' && mayPassThrough();
  const options = { requests, log, pageSize: pageSize(), completions: overlay.allowDeferral(), noOpen, passthrough };
  const session = new Session(new FuseDevice(fd), overlay, options);
  // The kernel has its INIT ready as soon as it has mounted; with its answer the mount answers all else.
  if (!session.step()) throw new Error('the kernel ended the session before it began');
  if (fuse.passthrough === 'on') requirePassthrough(session, overlay);
  tell({ mounted: true, device: fd });
  optimizeLater();
  session.run();
}

/** The kernel asks for CAP_SYS_ADMIN in the initial user namespace. */
function mayPassThrough(): boolean {
  return hasCapability(CAP_SYS_ADMIN) && hasAllIds();
}

function requirePassthrough(session: Session, overlay: FileSystem): void {
  const reason = mayPassThrough()
    ? session.passthroughObstacle || overlay.passthroughObstacle
    : 'it needs CAP_SYS_ADMIN in the initial user namespace';
  if (reason !== '') throw new Error(`cannot mount with passthrough=on: ${reason}; leave it at passthrough=auto`);
}

/** Opens the layers, mounts, and serves until the session ends. This thread is deaf meanwhile. */
function serve(input: WorkerInput, tell: (message: WorkerMessage) => void): void {
  // The union sets the umask for each file that it makes, and other threads have theirs.
  check(leaveSharedDirectory(), 'separate the worker from the umask of other threads');
  umask(0);
  // Where that is refused, requests wait longer for those who compute.
  setTimeSlice(TIME_SLICE);
  // All who use the mount open their files through this one process.
  raiseOpenFiles();
  const overlay = createOverlay(input.overlay, (ahead) => parentPort?.postMessage({ ahead }));
  let fd: number;
  try {
    fd = mountFuse(input.mountpoint, input.fuse);
  } catch (error) {
    overlay.destroy();
    throw error;
  }
  chdir('/');
  try {
    serveDevice(fd, overlay, input, tell);
  } catch (error) {
    undoMount(input.mountpoint);
    throw error;
  } finally {
    // Whoever still waits for an answer gets ENOTCONN.
    retireDescriptor(fd);
  }
}

function main(input: WorkerInput): void {
  const progress = { mounted: false };
  const tell = (message: WorkerMessage): void => {
    progress.mounted ||= message !== 'ended' && message.mounted;
    parentPort?.postMessage(message);
  };
  try {
    serve(input, tell);
    tell('ended');
  } catch (error) {
    if (progress.mounted)
      log(`the session ends: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    else tell({ mounted: false, error: error instanceof Error ? error.message : String(error) });
  }
}

parentPort?.once('message', main);
