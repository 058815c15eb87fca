import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { lookForProgram } from './program.ts';

/** Sends SIGKILL; false where that is not permitted. A process that has just ended is as good as killed. */
export function killProcess(pid: number): boolean {
  return signalProcess(pid, 'SIGKILL');
}

/** Sends a signal; false where that is not permitted. A process that has just ended needs none. */
export function signalProcess(pid: number, signal: 'SIGKILL' | 'SIGSTOP'): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ESRCH') return true;
    if (code !== 'EPERM') throw error;
    return signalAsOwner(pid, signal);
  }
}

/**
 * Each command of an ordinary user has a user namespace of its own, whose root has no power over processes of
 * another; but all map the same ids, and whoever runs under the same id may kill.
 */
function signalAsOwner(pid: number, signal: string): boolean {
  const uid = userOf(pid);
  const shell = lookForProgram('sh');
  if (uid === undefined || uid === 0 || shell === undefined) return false;
  const killed = spawnSync(shell, ['-c', `kill -${signal.slice('SIG'.length)} ${pid}`], {
    uid,
    gid: uid,
    stdio: 'ignore',
    cwd: '/',
  });
  return killed.status === 0;
}

/** The real user id in our own user namespace. */
export function userOf(pid: number): number | undefined {
  try {
    const uid = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return uid === undefined ? undefined : Number(uid);
  } catch {
    return undefined;
  }
}
