import { type ChildProcess } from 'node:child_process';
import { openSync } from 'node:fs';
import { EAGAIN, describeErrno } from '../../fs/sys/errno.ts';
import { endProcess } from './end-processes.ts';
import { FIRST_HANDED, HANDED } from './handed-files.ts';
import { identify } from './process-identity.ts';
import {
  LaunchFailed,
  NOT_STARTED,
  childOf,
  launchIn,
  launchInOwn,
  type OwnNamespaces,
} from './user-namespace/launch.ts';

/** What is to be started. */
export interface StageProgram {
  /** The compiled stage. */
  readonly stage: string;
  /** What become the stage's descriptors 0 and up. */
  readonly files: readonly (number | 'ignore')[];
  /** In place of `files` from 3 on, where the stage has a launcher: a socket in which they wait for the stage. */
  readonly socket: number | undefined;
}

/** How a process ended, as Node tells it. */
export interface ProcessEnd {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A stage that has been started. */
export interface StartedStage {
  readonly pid: number;
  /** Descriptor of its own network namespace. */
  readonly networkNamespace?: number | undefined;
  /** The process between us and the stage, in the stage's user namespace. */
  readonly launcher?: number | undefined;
  /** Never rejects. */
  readonly ended: Promise<ProcessEnd>;
}

/** It cannot be told whether there is a stage. */
export class StageInDoubt extends Error {
  override readonly name = 'StageInDoubt';
}

/** Starts a stage in the namespaces of this thread, and those of its children. */
export async function startHere({ stage, files }: StageProgram): Promise<StartedStage> {
  return describing(async () => {
    const { pid, ended } = await begun(launchIn({ stage, files }, {}));
    return { pid, ended };
  });
}

/**
 * Starts a stage in namespaces of its own. Descriptors that only the stage may have, since their end is told by its
 * execve(2), do not go through its launcher.
 */
export async function startApart({ stage, files, socket }: StageProgram, own: OwnNamespaces): Promise<StartedStage> {
  const given: StageProgram['files'] = [
    ...files.slice(0, FIRST_HANDED),
    socket ?? 'ignore',
    ...files.slice(FIRST_HANDED + 1).map(() => 'ignore' as const),
  ];
  return describing(async () => {
    const child = launchInOwn({ stage, files: given, arguments: [HANDED] }, own);
    const { pid: launcher, ended } = await begun(child);
    const pid = await childOf(launcher, ended).catch((error: unknown) => {
      if (error instanceof LaunchFailed) throw error;
      // A stage that comes up all the same finds that there is nothing to do.
      child.kill('SIGKILL');
      throw new StageInDoubt(error instanceof Error ? error.message : String(error), { cause: error });
    });
    const networkNamespace = own.network ? openSync(`/proc/${pid}/ns/net`, 'r') : undefined;
    return { pid, networkNamespace, launcher, ended: untilBothEnd(pid, ended) };
  });
}

/**
 * Resolves as `ended` does, the launcher's end, when there is no stage any more. Whoever kills a launcher, before the stage
 * has asked for its own death by that, leaves a stage that nobody would wait for.
 */
async function untilBothEnd(pid: number, ended: Promise<ProcessEnd>): Promise<ProcessEnd> {
  const stage = identify(pid);
  const end = await ended;
  // A launcher that ends by itself has waited for the stage.
  if (stage !== undefined && end.signal !== null) await endProcess(stage);
  return end;
}

/** @throws where it could not be started. */
async function begun(child: ChildProcess): Promise<{ readonly pid: number; readonly ended: Promise<ProcessEnd> }> {
  const { pid } = child;
  if (pid === undefined) throw await new Promise<Error>((resolve) => child.once('error', resolve));
  // It tells of its end but once.
  const ended = new Promise<ProcessEnd>((resolve) =>
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal })),
  );
  return { pid, ended };
}

async function describing<T>(start: () => Promise<T>): Promise<T> {
  try {
    return await start();
  } catch (error) {
    // What is not spawn's own says enough.
    const { errno = 0, syscall } = error as NodeJS.ErrnoException;
    if (syscall?.startsWith('spawn') !== true) throw error;
    const advice =
      errno === -EAGAIN ? ': too many processes: raise ulimit -u, or the pids limit of the control group' : '';
    throw new Error(`${NOT_STARTED}: ${describeErrno(errno)}${advice}`, {
      cause: error,
    });
  }
}
