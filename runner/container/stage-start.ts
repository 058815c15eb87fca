import { type ChildProcess } from 'node:child_process';
import { openSync } from 'node:fs';
import { constants } from 'node:os';
import { endProcess } from './end-processes.ts';
import { FIRST_HANDED, HANDED } from './handed-files.ts';
import { identify } from './process-identity.ts';
import { notStarted } from './not-started.ts';
import { type ProcessEnd, type StageChild, spawnStage } from './stage-child.ts';
import { type StageNamespaces, inNamespaces } from './stage-namespaces.ts';
import { LaunchFailed, childOf, launchIn, launchInOwn, type OwnNamespaces } from './user-namespace/launch.ts';

/** What is to be started. */
export interface StageProgram {
  /** The compiled stage. */
  readonly stage: string;
  /** What become the stage's descriptors 0 and up. */
  readonly files: readonly (number | 'ignore')[];
  /** In place of `files` from 3 on, where the stage has a launcher: a socket in which they wait for the stage. */
  readonly socket: number | undefined;
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
  return describing(async () => begun(launchIn({ stage, files }, {})));
}

/**
 * Starts a stage in namespaces that this thread is in meanwhile.
 *
 * @returns undefined where it would not come back from them.
 */
export function startInside({ stage, files }: StageProgram, namespaces: StageNamespaces): StartedStage | undefined {
  const inside = inNamespaces(namespaces, () => spawnStage(stage, files));
  return inside === undefined ? undefined : { ...inside.begun, networkNamespace: inside.networkNamespace };
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
async function begun(child: ChildProcess): Promise<StageChild> {
  const { pid } = child;
  if (pid === undefined) throw await new Promise<Error>((resolve) => child.once('error', resolve));
  // It tells of its end but once.
  const ended = new Promise<ProcessEnd>((resolve) =>
    child.once('exit', (exitCode, signal) =>
      resolve({ exitCode, signal: signal === null ? null : constants.signals[signal] }),
    ),
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
    throw notStarted(errno, error);
  }
}
