import { mount, type MountOptions } from './mount.ts';
import { serveUntilEnd } from './serve.ts';
import { toText } from './sys/text.ts';

/**
 * Mounts, and serves until the mount's end, as a process that is there for nothing else. Rejects where nothing could be
 * mounted.
 *
 * @param answer says that the mount answers; answers whether whoever waits for that is there to hear it.
 * @param left asks for the end.
 */
export async function serveAsDaemon(
  options: MountOptions,
  answer: () => boolean | Promise<boolean>,
  left?: Promise<void>,
): Promise<void> {
  const mounting = mount(options);
  const end = serveUntilEnd(mounting, left);
  // It rejects as the mounting does, which is told below.
  end.catch(() => undefined);
  const served = await mounting;
  process.title = `fuse-lamina ${toText(served.mountpoint)}`;
  process.chdir('/');
  process.umask(0);
  // Who was interrupted, or gave up waiting, believes that nothing is mounted.
  if (!(await answer())) await served.unmount();
  await end;
}
