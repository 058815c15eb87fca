import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_RDWR } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { reap, spawnProcess } from '../../fs/sys/spawn.ts';
import { notStarted } from './not-started.ts';
import { withProtectedNode } from './protected-node.ts';
import { EXIT } from './spec.ts';
import { stageEnvironment } from './stage-environment.ts';

/** How a process ended: by itself, or by a signal, of which this is the number. */
export interface ProcessEnd {
  readonly exitCode: number | null;
  readonly signal: number | null;
}

/** A stage that is a child of this process. */
export interface StageChild {
  /** In our pid namespace. */
  readonly pid: number;
  /** Never rejects. */
  readonly ended: Promise<ProcessEnd>;
}

/**
 * Starts a stage as a child of this thread, the main one, in the namespaces that its children are born in. Its session is
 * its own: a container must not reach the terminal of its caller (TIOCSTI).
 *
 * @param stage the compiled file.
 * @param files what become its descriptors 0 and up; `ignore` is /dev/null.
 */
export function spawnStage(stage: string, files: readonly (number | 'ignore')[]): StageChild {
  const pid = withProtectedNode((node) => withNull((nothing) => spawnNode(stage, files, node, nothing)));
  if (pid < 0) throw notStarted(pid);
  return { pid, ended: untilEnd(pid) };
}

function spawnNode(stage: string, files: readonly (number | 'ignore')[], node: number, nothing: number): number {
  const given = files.map((file) => (file === 'ignore' ? nothing : file));
  return spawnProcess({
    path: `/proc/self/fd/${given.length}`,
    argv: ['lamina', toBytes(stage)],
    env: Object.entries(stageEnvironment()).map(([name, value]) => toBytes(`${name}=${value}`)),
    files: [...given, node],
  });
}

function withNull<T>(use: (fd: number) => T): T {
  const fd = check(openat(-1, '/dev/null', O_RDWR | O_CLOEXEC), 'open /dev/null');
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}

/** As long as a timer of Node's can be. */
const LONGEST_MILLISECONDS = 2 ** 31 - 1;

// Node waits for the children that it has started itself, and for no others.
function untilEnd(pid: number): Promise<ProcessEnd> {
  return new Promise((resolve) => {
    // A listener for a signal does not keep this process from its end.
    const hold = setInterval(() => undefined, LONGEST_MILLISECONDS);
    const look = (): void => {
      const status = reap(pid);
      if (status === undefined) return;
      process.off('SIGCHLD', look);
      clearInterval(hold);
      resolve(endOf(status));
    };
    process.on('SIGCHLD', look);
    look();
  });
}

function endOf(status: NonNullable<ReturnType<typeof reap>>): ProcessEnd {
  // Somebody else has waited for it.
  if (typeof status === 'number') return { exitCode: EXIT.ownError, signal: null };
  return { exitCode: null, signal: null, ...status };
}
