import type { Mount } from './mount.ts';
import { log } from './sys/log.ts';
import { exitNow } from './sys/exit.ts';

// How long others may hold a mount that was detached, before we end it for them.
const GRACE_MILLISECONDS = 2000;

async function stop(mount: Mount): Promise<void> {
  try {
    await mount.unmount();
  } catch (error) {
    log(error instanceof Error ? error.message : String(error));
  }
  await Promise.race([
    mount.closed,
    new Promise<void>((resolve) => {
      setTimeout(resolve, GRACE_MILLISECONDS).unref();
    }),
  ]);
  mount.forget();
  // A worker that still serves others is blocked in a system call, and Node's own exit would wait for it.
  exitNow(0);
}

/** Serves a mount until it is unmounted, or SIGTERM, SIGINT or SIGHUP asks for its end. SIGUSR1 logs the counters. */
export function serveUntilEnd(mount: Mount): Promise<void> {
  // As fuse-overlayfs does. Without a listener, Node would open a debugger's port, to every local user.
  process.on('SIGUSR1', () => log(JSON.stringify(mount.stats())));
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.once(signal, () => void stop(mount));
  }
  return mount.closed;
}
