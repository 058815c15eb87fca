import { type Mount, mount, type MountOptions } from './mount.ts';
import { serveHere } from './serve-here.ts';
import { serveUntilEnd } from './serve.ts';
import { toText } from './sys/text.ts';

/** Mounts by the main thread, whose signals are listened to when it does. */
function mountHere(options: MountOptions): Promise<Mount> {
  // Before: it is the session's to change afterwards.
  process.umask(0);
  // When this turn is over, since it mounts before it answers.
  return Promise.resolve().then(() => mount(options, serveHere));
}

/** Mounts, and serves until the mount's end, as a process that is there for nothing else. Rejects where it cannot be. */
export async function serveInForeground(options: MountOptions): Promise<void> {
  await serveUntilEnd(mountHere(options));
}

/**
 * As `serveInForeground`, for somebody who waits until the mount answers.
 *
 * @param answer says that the mount answers; answers whether whoever waits for that is there to hear it.
 * @param left asks for the end.
 */
export async function serveAsDaemon(
  options: MountOptions,
  answer: () => boolean | Promise<boolean>,
  left?: Promise<void>,
): Promise<void> {
  const mounting = mountHere(options);
  const end = serveUntilEnd(mounting, left);
  // It rejects as the mounting does, which is told below.
  end.catch(() => undefined);
  const served = await mounting;
  process.title = `fuse-lamina ${toText(served.mountpoint)}`;
  process.chdir('/');
  // Who was interrupted, or gave up waiting, believes that nothing is mounted.
  if (!(await answer())) await served.unmount();
  await end;
}
