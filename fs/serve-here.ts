import { closeSync } from 'node:fs';
import { dirname } from 'node:path';
import { DirectoriesAside } from './directories-aside.ts';
import { LoopWatch } from './fuse/loop-watch.ts';
import type { Serving } from './mount.ts';
import { possibleRuntimeDirectories } from './runtime-directory.ts';
import { EventLoop } from './sys/event-loop.ts';
import { optimizeLater } from './sys/optimize-later.ts';
import { realPath } from './sys/real-path.ts';
import { type ByteString, toBytes } from './sys/text.ts';
import { keepYoungSpaceSmall } from './sys/young-space.ts';
import { failSession, openUnionSession, type SessionInput, type UnionSession } from './union-session.ts';

// A process that is there for one mount serves it from its main thread: another one takes as long to come up as Node itself,
// and 10 MiB. Between requests Node's event loop has its turns, for signals, the control socket and timers.

/**
 * What such a process reads or writes by itself while it is the one to answer for what lies on the mount: it would wait for
 * itself.
 */
function isNeeded(mountpoint: ByteString): boolean {
  const paths = [import.meta.dirname, '/proc', '/sys', '/dev', ...possibleRuntimeDirectories().map(dirname)];
  return paths.some((path) => `${resolved(path)}/`.startsWith(mountpoint === '/' ? '/' : `${mountpoint}/`));
}

function resolved(path: string): ByteString {
  try {
    return realPath(toBytes(path));
  } catch {
    return toBytes(path);
  }
}

/** Serves until the loop is due; answers whether the session has ended. */
function serveUntilDue(input: SessionInput, { session, device }: UnionSession, watch: LoopWatch): boolean {
  watch.begin();
  try {
    return session.runUntilDue(watch);
  } catch (error) {
    failSession(input, device, error);
    return true;
  }
}

/** Serves to the session's end; the loop has a turn whenever it is due. */
async function serveToEnd(input: SessionInput, opened: UnionSession, loop: EventLoop, watch: LoopWatch): Promise<void> {
  await new Promise<void>((resolve) => {
    const turn = (): void => {
      if (serveUntilDue(input, opened, watch)) resolve();
      else setImmediate(turn);
    };
    setImmediate(() => {
      // Now that what makes the mount known has been loaded, by which the space for young objects has come to 2 MiB.
      optimizeLater();
      keepYoungSpaceSmall();
      turn();
    });
  });
  closeSync(opened.device);
  loop.close();
}

/**
 * Mounts a union and serves it from this thread, the main one. Undefined where another one must, and nothing has been
 * done: where this Node does not lend its event loop, and where the mount hides what this process needs. Throws where it
 * cannot be mounted.
 */
export function serveHere(input: SessionInput): Serving | undefined {
  if (isNeeded(input.mountpoint)) return undefined;
  const loop = EventLoop.open();
  if (loop === undefined) return undefined;
  try {
    const directories = new DirectoriesAside();
    const watch = new LoopWatch(loop, () => directories.areAwaited);
    const opened = openUnionSession(input, (ahead) => directories.read(ahead), watch);
    const ended = serveToEnd(input, opened, loop, watch).then(() => directories.stop());
    return { device: opened.device, ended };
  } catch (error) {
    loop.close();
    throw error;
  }
}
