import { FuseDevice } from './fuse/device.ts';
import type { LoopWatch } from './fuse/loop-watch.ts';
import { mountFuse, undoMount } from './fuse/mount.ts';
import type { FileSystem } from './filesystem.ts';
import type { FuseOptions } from './fuse/options.ts';
import { Session } from './fuse/session.ts';
import { createOverlay } from './overlay/index.ts';
import type { ReadDirectories } from './overlay/look-ahead.ts';
import type { OverlayOptions } from './overlay/options.ts';
import type { ByteString } from './sys/text.ts';
import { CAP_SYS_ADMIN, hasCapability } from './sys/capability.ts';
import { hasAllIds } from './sys/id-maps.ts';
import { log } from './sys/log.ts';
import { umask } from './sys/metadata.ts';
import { raiseOpenFiles } from './sys/resource-limits.ts';
import { retireDescriptor } from './sys/retire.ts';
import { chdir, pageSize, setTimeSlice } from './sys/thread.ts';

/**
 * Nanoseconds that the session's thread asks for the processor at a time: a request takes a tenth of it, and whoever computes
 * beside it, such as who copies a large file up, keeps it waiting less. stat during the copy-up of 2 GiB, p99 of four runs in
 * turns: 383 us, and 842 with the kernel's own; make -j2 0.95 of its time.
 */
const TIME_SLICE = 100_000;

/** What to serve, where. */
export interface SessionInput {
  readonly mountpoint: ByteString;
  readonly overlay: OverlayOptions;
  readonly fuse: FuseOptions;
  readonly requests: Float64Array;
}

/** A union that is mounted and answers, as long as its session is run. */
export interface UnionSession {
  readonly session: Session;
  /** File descriptor of /dev/fuse. */
  readonly device: number;
}

function beginSession(fd: number, overlay: FileSystem, { fuse, requests }: SessionInput, loop?: LoopWatch): Session {
  const noOpen = fuse.noOpen ?? 'auto';
  const passthrough = noOpen !== 'on' && fuse.passthrough !== 'off' && mayPassThrough();
  const options = { requests, log, pageSize: pageSize(), completions: overlay.allowDeferral(), noOpen, passthrough };
  const session = new Session(new FuseDevice(fd, loop), overlay, options);
  // The kernel has its INIT ready as soon as it has mounted; with its answer the mount answers all else.
  if (!session.step()) throw new Error('the kernel ended the session before it began');
  if (fuse.passthrough === 'on') requirePassthrough(session, overlay);
  return session;
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

/**
 * Opens the layers, mounts, and answers the kernel's first request. The thread is the session's from then on: it has umask 0
 * and the directory `/`, both of which the session changes or needs, and it must not wait for the mount. Throws, with nothing
 * mounted, where it cannot be.
 *
 * @param readDirectories has them read by other threads.
 * @param loop of this thread, where that is to have turns while the session is run.
 */
export function openUnionSession(
  input: SessionInput,
  readDirectories: ReadDirectories,
  loop?: LoopWatch,
): UnionSession {
  umask(0);
  // Where that is refused, requests wait longer for those who compute.
  setTimeSlice(TIME_SLICE);
  // All who use the mount open their files through this one process.
  raiseOpenFiles();
  const overlay = createOverlay(input.overlay, readDirectories);
  let device: number;
  try {
    device = mountFuse(input.mountpoint, input.fuse);
  } catch (error) {
    overlay.destroy();
    throw error;
  }
  chdir('/');
  try {
    return { session: beginSession(device, overlay, input, loop), device };
  } catch (error) {
    abandonSession(input, device);
    throw error;
  }
}

/** Takes the mount of a session that has failed away; the descriptor stays, and is nothing any more. */
function abandonSession({ mountpoint }: SessionInput, device: number): void {
  // First: whoever still waits for an answer gets ENOTCONN, and a kernel that writes back what is changed does not wait.
  retireDescriptor(device);
  undoMount(mountpoint);
}

/** Tells of a session that has failed after it had begun, and takes its mount away. */
export function failSession(input: SessionInput, device: number, error: unknown): void {
  log(`the session ends: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  abandonSession(input, device);
}
