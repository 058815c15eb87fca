import type { Mount } from './mount.ts';
import { exitNow } from './sys/exit.ts';
import { log } from './sys/log.ts';

// How long others may hold a mount that was detached, before we end it for them.
const GRACE_MILLISECONDS = 2000;

/** Answers whether the mount is gone. */
async function unmount(mount: Mount): Promise<boolean> {
  try {
    await mount.unmount();
    return true;
  } catch (error) {
    log(error instanceof Error ? error.message : String(error));
    return false;
  }
}

async function stop(mount: Mount): Promise<void> {
  const gone = await unmount(mount);
  const grace = new Promise<void>((resolve) => void setTimeout(resolve, GRACE_MILLISECONDS).unref());
  await Promise.race([mount.closed, grace]);
  mount.forget();
  // A worker that still serves others is blocked in a system call, and Node's own exit would wait for it.
  exitNow(gone ? 0 : 1);
}

/**
 * Serves a mount, from its making on, until it is unmounted, or SIGTERM, SIGINT or SIGHUP asks for its end. SIGUSR1 logs
 * the counters. Rejects where the mount could not be made.
 *
 * @param left asks for the end, too.
 */
export async function serveUntilEnd(mounting: Promise<Mount>, left?: Promise<void>): Promise<void> {
  // A signal must not end the process while the kernel has the mount: not in the middle of its making, and a second one
  // not before the first has had its effect.
  let stopping: Promise<void> | undefined;
  const end = (): void => void (stopping ??= mounting.then(stop, () => undefined));
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, end);
  void left?.then(end);
  // As fuse-overlayfs does. Without a listener, Node would open a debugger's port, to every local user.
  process.on(
    'SIGUSR1',
    () =>
      void mounting.then(
        (mount) => log(JSON.stringify(mount.stats())),
        () => undefined,
      ),
  );
  const mount = await mounting;
  await mount.closed;
}
