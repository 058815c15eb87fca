import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { check } from '../../fs/sys/errno.ts';
import { syncfs } from '../../fs/sys/file.ts';
import { signalProcess, userOf } from './kill-process.ts';
import { findProgram } from './program.ts';

// The processes of a container without a freezer cgroup, which is not to be had everywhere, are stopped one by one. What holds them stopped is a guardian, a shell that reads their numbers and, once its input ends, lets
// them go on: when it is asked to, and when we are killed.

// In reverse: a shell that finds a child of its own stopped takes it for suspended by its user.
const GUARDIAN = 'pids=; while read -r pid; do pids="$pid $pids"; done; [ -z "$pids" ] || kill -CONT $pids';
/** Looks at all processes; each finds those that were born during the one before, whose parent is stopped now. */
const ROUNDS = 100;

const STOP_MILLISECONDS = 10_000;
const POLL_MILLISECONDS = 2;

/** Processes of a container that stand still. */
export class Pause {
  /** One for each user: in a user namespace of our own, root has no power over processes in another. */
  readonly #guardians = new Map<number, ChildProcess>();
  readonly #stopped = new Set<number>();

  /**
   * Stops all processes of the container.
   *
   * @param init its first process.
   */
  static async begin(init: number): Promise<Pause> {
    const pause = new Pause();
    try {
      await pause.#stopAll(init);
      return pause;
    } catch (error) {
      await pause.end();
      throw error;
    }
  }

  async #stopAll(init: number): Promise<void> {
    for (let round = 0; round < ROUNDS; round++) {
      // One that its user has stopped is not ours to let go.
      const running = processesBelow(init).filter((pid) => !this.#stopped.has(pid) && !isStopped(pid));
      if (running.length === 0) return;
      for (const pid of running) this.#stop(pid);
      for (const pid of running) await untilStopped(pid);
    }
    throw new Error('its processes cannot be stopped: new ones come faster');
  }

  #stop(pid: number): void {
    // Before it is stopped: from here on it is let go, whatever happens to us.
    this.#guardianOf(userOf(pid) ?? 0).stdin?.write(`${pid}\n`);
    if (!signalProcess(pid, 'SIGSTOP')) {
      throw new Error(
        `process ${pid} of the container may not be stopped (EPERM): --pause=false commits it as it runs`,
      );
    }
    this.#stopped.add(pid);
  }

  #guardianOf(uid: number): ChildProcess {
    const known = this.#guardians.get(uid);
    if (known !== undefined) return known;
    const owner = uid === 0 ? {} : { uid, gid: uid };
    // Detached: what the terminal sends to us is not for it.
    const guardian = spawn(findProgram('sh', 'dash'), ['-c', GUARDIAN], {
      ...owner,
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
    });
    guardian.on('error', () => undefined);
    guardian.stdin.on('error', () => undefined);
    this.#guardians.set(uid, guardian);
    return guardian;
  }

  /** Lets all go on. */
  async end(): Promise<void> {
    const guardians = [...this.#guardians.values()];
    this.#guardians.clear();
    await Promise.all(
      guardians.map(async (guardian) => {
        const closed = once(guardian, 'close');
        guardian.stdin?.end();
        await closed;
      }),
    );
  }
}

/** All processes whose line of parents leads to `init`, itself included. */
export function processesBelow(init: number): number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    const parent = Number.isInteger(pid) ? parentOf(pid) : undefined;
    if (parent === undefined) continue;
    const siblings = children.get(parent) ?? [];
    siblings.push(pid);
    children.set(parent, siblings);
  }
  const found = parentOf(init) === undefined ? [] : [init];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** Undefined for a process that is gone, or as good as gone. */
function parentOf(pid: number): number | undefined {
  const [state = 'X', parent] = readStat(String(pid));
  return state === 'Z' || state === 'X' ? undefined : Number(parent);
}

/** Fields of a process from its state on; none where it is gone. */
function readStat(path: string): string[] {
  try {
    const text = readFileSync(`/proc/${path}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

/** What a process does that is told to stop, such as to write, it does to its end. */
async function untilStopped(pid: number): Promise<void> {
  for (const deadline = Date.now() + STOP_MILLISECONDS; !isStopped(pid);) {
    if (Date.now() > deadline) throw new Error(`process ${pid} of the container does not stop`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  }
}

/** Whether all threads of a process stand still, or are gone. */
function isStopped(pid: number): boolean {
  let threads: readonly string[];
  try {
    threads = readdirSync(`/proc/${pid}/task`);
  } catch {
    return true;
  }
  return threads.every((thread) => 'TtZX'.includes(readStat(`${pid}/task/${thread}`)[0] ?? 'X'));
}

/**
 * Has what the container's programs changed in mapped files written to its upper. Where its root cannot be reached, as
 * that of an ordinary user's container from another command's namespace, what the kernel has not written yet is missing.
 */
export function flushMappedFiles(init: number): void {
  let fd: number;
  try {
    fd = openSync(`/proc/${init}/root`, 'r');
  } catch {
    return;
  }
  try {
    check(syncfs(fd), "write the container's files to disk");
  } finally {
    closeSync(fd);
  }
}
