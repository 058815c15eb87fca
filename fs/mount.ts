import { closeSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Worker } from 'node:worker_threads';
import { backendOf } from './backend.ts';
import { type Branch, branchesOf } from './branches.ts';
import { DirectoryReaders } from './directories-ahead.ts';
import type { FuseOptions } from './fuse/options.ts';
import { checkMountpoint } from './mountpoint.ts';
import type { OverlayOptions } from './overlay/options.ts';
import type { Publication } from './publication.ts';
import { extendReadAhead } from './read-ahead.ts';
import { createCounters, type MountStats, readCounters, type SharedCounters } from './stats.ts';
import { type ByteString, toText } from './sys/text.ts';
import { log } from './sys/log.ts';
import { mountAt } from './sys/mountinfo.ts';
import { retireDescriptor } from './sys/retire.ts';
import { takeWorker } from './spare-worker.ts';
import type { SessionInput } from './union-session.ts';
import type { WorkerMessage, WorkerReport } from './worker.ts';

/** What to mount, where, and how. */
export interface MountOptions {
  readonly mountpoint: ByteString;
  readonly overlay: OverlayOptions;
  readonly fuse?: FuseOptions;
}

/** A union that this process serves. */
export interface Mount {
  /** Absolute, without symlinks. */
  readonly mountpoint: ByteString;
  readonly branches: readonly Branch[];
  /** Resolves when the kernel has ended the session and the union is closed; never rejects. */
  readonly closed: Promise<void>;
  /**
   * Unmounts, lazily where the mount is in use. Where others still hold it, `closed` comes when they let go, and until
   * then Node cannot end this process by itself: see `exitNow`.
   */
  unmount(): Promise<void>;
  stats(): MountStats;
  /**
   * Gives the mount up, for a process that ends by `exitNow` before `closed`: removes the state file and the control
   * socket, and lets go of the device, without which files that this process has open in its own mount would wait for
   * it. The kernel aborts the session once the worker, which may be blocked in a read of the device, has let go too.
   */
  forget(): void;
}

class ServedMount implements Mount {
  readonly mountpoint: ByteString;
  readonly branches: readonly Branch[];
  readonly closed: Promise<void>;
  readonly #counters: SharedCounters;
  /** `major:minor`, to tell our mount from one that lies over it. */
  readonly #device: string | undefined;
  readonly #fd: number | undefined;
  #publication: Publication | undefined;
  #ended = false;
  #abandoned = false;

  constructor(mountpoint: ByteString, branches: readonly Branch[], counters: SharedCounters, serving: Serving) {
    this.mountpoint = mountpoint;
    this.branches = branches;
    this.#counters = counters;
    this.#fd = serving.device;
    this.#device = mountAt(mountpoint)?.device;
    if (this.#device !== undefined) extendReadAhead(this.#device);
    this.closed = serving.ended.then(() => {
      this.#ended = true;
      this.#withdraw();
    });
  }

  /** Makes the mount known to `lamina mounts` and `lamina stats`. It does not depend on that. */
  async publish(readOnly: boolean, loading: Promise<typeof import('./publication.ts')>): Promise<void> {
    const { mountpoint, branches } = this;
    const device = this.#device;
    if (device === undefined) return;
    const state = { mountpoint, device, pid: process.pid, branches, readOnly };
    try {
      const { Publication } = await loading;
      this.#publication = await Publication.create(state, () => this.stats());
      if (this.#publication === undefined) throw new Error('no directory for its state can be had in /run or /tmp');
    } catch (error) {
      // Who has no descriptor left hears that from whatever needs one next.
      if ((error as NodeJS.ErrnoException).code === 'EMFILE') return;
      const reason = error instanceof Error ? error.message : String(error);
      log(`lamina mounts will not show ${toText(mountpoint)}: ${reason}`);
    }
    if (this.#ended) this.#withdraw();
  }

  #withdraw(): void {
    this.#publication?.withdraw();
    this.#publication = undefined;
  }

  forget(): void {
    this.#withdraw();
    if (this.#ended || this.#abandoned || this.#fd === undefined) return;
    this.#abandoned = true;
    retireDescriptor(this.#fd);
  }

  async unmount(): Promise<void> {
    if (this.#ended) return;
    const mount = mountAt(this.mountpoint);
    if (mount === undefined) return;
    if (mount.device !== this.#device) {
      throw new Error(`cannot unmount ${toText(this.mountpoint)}: ${mount.type} is mounted over it`);
    }
    const { detachForGood } = await import('./unmount.ts');
    await detachForGood(this.mountpoint);
  }

  stats(): MountStats {
    return readCounters(this.#counters);
  }
}

/** Resolves once the worker has mounted, with the device's file descriptor; rejects with its reason. */
function untilMounted(worker: Worker): Promise<number> {
  return new Promise((resolve, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => {
      reject(new Error('the filesystem ended before it was mounted'));
    });
    worker.once('message', (message: WorkerMessage) => {
      if (message === 'ended') reject(new Error('the filesystem ended before it was mounted'));
      else if (message.mounted) resolve(message.device);
      else reject(new Error(message.error));
    });
  });
}

/** Resolves once the union is closed; until then, has directories read for the worker. */
function untilEnded(worker: Worker): Promise<void> {
  // Most mounts need none.
  let readers: DirectoryReaders | undefined;
  return new Promise((resolve) => {
    worker.on('message', (report: WorkerReport) => {
      if (report !== 'ended') {
        readers ??= new DirectoryReaders();
        readers.read(report.ahead);
        return;
      }
      readers?.stop();
      resolve();
    });
  });
}

/** A session that has begun, and when it will have ended. */
export interface Serving {
  readonly ended: Promise<void>;
  /** File descriptor of /dev/fuse, where the session is ours. */
  readonly device?: number;
}

async function serveByWorker(input: SessionInput): Promise<Serving> {
  const worker = takeWorker();
  worker.postMessage(input);
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const device = await untilMounted(worker);
  // The thread's own end takes longer than that of what it serves.
  const ended = Promise.race([exited, untilEnded(worker)]);
  // Until then its number is used, if only by the threads that the thread has started.
  void exited.then(() => closeSync(device));
  worker.on('error', (error) => log(`the session's thread failed: ${error.message}`));
  return { ended, device };
}

/** Mounts and serves from this thread; undefined where it cannot be this thread. Throws where it cannot be mounted. */
type ServeHere = (input: SessionInput) => Serving | undefined;

async function serve(input: SessionInput, serveHere?: ServeHere): Promise<Serving> {
  if (backendOf(input.fuse) !== 'device') return (await import('./native-backend.ts')).serveNatively(input);
  return serveHere?.(input) ?? serveByWorker(input);
}

async function checkAnswer(served: Mount): Promise<void> {
  try {
    await stat(Buffer.from(served.mountpoint, 'latin1'));
  } catch (error) {
    await served.unmount();
    throw new Error(`the mount on ${toText(served.mountpoint)} does not answer`, { cause: error });
  }
}

/**
 * Mounts a union and serves it from a thread of this process. Resolves once the mount answers; rejects, with nothing
 * mounted, where a layer, the mount point or FUSE does not allow it. With the backend fuse-native it is the main thread
 * that serves: this process must not touch the mount by synchronous calls then.
 *
 * @param serveHere for a process that has nothing else to do: what it does between requests must not wait for the mount.
 */
export async function mount(options: MountOptions, serveHere?: ServeHere): Promise<Mount> {
  const mountpoint = checkMountpoint(options.mountpoint);
  // Before the mount can hide them.
  const branches = branchesOf(options.overlay);
  const counters = createCounters();
  const overlay = { ...options.overlay, counters: counters.overlay };
  const fuse = options.fuse ?? {};
  const readOnly = options.overlay.upper === undefined || fuse.readOnly === true;
  const serving = serve({ mountpoint, overlay, fuse: { ...fuse, readOnly }, requests: counters.requests }, serveHere);
  // While the worker starts.
  const loading = import('./publication.ts');
  const served = new ServedMount(mountpoint, branches, counters, await serving);
  // The device's worker has answered the kernel's first request. A request of our own could not be killed: the thread
  // that waits for the answer holds the device, so that the kernel would wait for a worker that is dead.
  if (backendOf(fuse) !== 'device') await checkAnswer(served);
  await served.publish(readOnly, loading);
  return served;
}
