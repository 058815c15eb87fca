import { closeSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { check } from '../../../fs/sys/errno.ts';
import { hasLostReader } from '../../../fs/sys/event.ts';
import { PR_SET_DUMPABLE, PR_SET_PDEATHSIG, prctl } from '../../../fs/sys/process.ts';
import { EXIT, RunError, SPEC_FD, STATUS_FD, type StageFailure, type StageStatus } from '../spec.ts';

// What the stages of a container's first process and of those that are added to it have in common: they wait for their
// spec, tell of a failure over a pipe that execve closes, and do not outlive who serves the container's filesystem.

/** Hands the spec, which is JSON, to `become`, which does not return but by a failure. */
export async function runStage(become: (spec: string) => Promise<never> | never): Promise<void> {
  try {
    dieWithClient();
    // No other process may look into this one, nor open its descriptors, before it is the command.
    check(prctl(PR_SET_DUMPABLE, 0), 'become undumpable');
    const spec = readFileSync(SPEC_FD, 'utf8');
    // The client gave up before there was anything to run, and has said why.
    if (spec === '') process.exit(EXIT.ownError);
    closeSync(SPEC_FD);
    await become(spec);
  } catch (error) {
    fail(error);
  }
}

/**
 * The client serves the container's filesystem: the container is not to outlive it. A change of ids clears the setting,
 * so it is made again; a client that died when it was not in force has closed its end of the pipe. (getppid(2) tells
 * nothing: process 1 of a pid namespace has no parent in it.) What the command does to the setting is its own affair.
 */
export function dieWithClient(): void {
  check(prctl(PR_SET_PDEATHSIG, constants.signals.SIGKILL), "tie the container to its client's life");
  if (hasLostReader(STATUS_FD)) process.exit(EXIT.ownError);
}

/** Tells whoever has started the stage. */
export function tellStatus(status: StageStatus): void {
  writeFileSync(STATUS_FD, `${JSON.stringify(status)}\n`);
}

function fail(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error);
  const exitCode = error instanceof RunError ? error.exitCode : EXIT.ownError;
  const failure: StageFailure = { message, exitCode };
  tellStatus({ failure });
  process.exit(exitCode);
}
