import { closeSync, openSync, readdirSync, readlinkSync, writeSync } from 'node:fs';
import { logTarget } from './log-target.ts';
import { dup3 } from './sys/file.ts';
import { duplicate } from './sys/process.ts';
import { leadSession } from './sys/terminal.ts';

// What fuse-lamina, a shell script, and the daemon that it starts have to do with each other. The shell reads the daemon's
// standard output to its end, writes what is in it to nobody, and ends as that says.

const STDOUT = 1;
const STDERR = 2;

/** What each of a process's descriptors refers to. */
function descriptorsOf(process: string): Map<number, string> {
  const directory = `/proc/${process}/fd`;
  const descriptors = new Map<number, string>();
  for (const name of readdirSync(directory)) {
    try {
      descriptors.set(Number(name), readlinkSync(`${directory}/${name}`));
    } catch {
      // The one that the directory was read through.
    }
  }
  return descriptors;
}

function isHeldByParent(answer: string): boolean {
  try {
    return readlinkSync(`/proc/${process.ppid}/fd/${STDOUT}`) === answer;
  } catch {
    return false;
  }
}

/**
 * The descriptors that this process has from whoever started the shell. It has opened others of its own, but none of
 * those has both the number and the object of one of the shell's. Undefined where /proc shows another process by that id,
 * and where the shell would wait for the end of another one, by which this one was started: a `node` that is a script.
 */
function inheritedFrom(shell: string): number[] | undefined {
  try {
    const [own, theirs] = [descriptorsOf('self'), descriptorsOf(shell)];
    const answer = own.get(STDOUT);
    if (answer === undefined || ![...theirs.values()].includes(answer)) return undefined;
    if (isHeldByParent(answer)) return undefined;
    return [...own.keys()].filter((fd) => fd > STDERR && own.get(fd) === theirs.get(fd));
  } catch {
    return undefined;
  }
}

const POLL_MILLISECONDS = 20;

/**
 * Resolves with whether the shell sends SIGUSR2 before it ends. One that is interrupted, but puts that off until it has
 * read what it waits for, does not.
 */
function confirmationOf(shell: string): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isConfirmed: boolean): void => {
      clearInterval(polling);
      process.off('SIGUSR2', confirm);
      resolve(isConfirmed);
    };
    const confirm = (): void => settle(true);
    let isGone = false;
    // A turn after it was found gone, for what it has sent before.
    const polling = setInterval(() => (isGone ? settle(false) : (isGone = !hasProgram(shell))), POLL_MILLISECONDS);
    process.on('SIGUSR2', confirm);
  });
}

/** Whether a process has not ended: one that nobody has waited for yet has no program any more. */
function hasProgram(process: string): boolean {
  try {
    readlinkSync(`/proc/${process}/exe`);
    return true;
  } catch {
    return false;
  }
}

/** The shell that waits for a daemon, and the standard error of its caller. */
export class Launcher {
  #stderr = STDERR;
  /** Its process id, where /proc shows it. */
  #shell: string | undefined;

  /**
   * Lets go of all that is the caller's, who would wait for the end of those who hold it: the session and the descriptors,
   * except for what an answer needs. Answers false where that cannot be.
   */
  leave(shell: string): boolean {
    const inherited = inheritedFrom(shell);
    if (inherited === undefined) return false;
    this.#shell = shell;
    const target = logTarget();
    leadSession();
    inherited.forEach(closeSync);
    const log = target === 'ignore' ? openSync('/dev/null', 'r+') : target;
    this.#stderr = duplicate(STDERR);
    dup3(log, STDERR, 0);
    closeSync(log);
    return true;
  }

  /** Resolves with whether the shell, and so perhaps whoever waits for it, is there to hear it. */
  async tellMounted(): Promise<boolean> {
    const confirmed = this.#shell === undefined ? Promise.resolve(true) : confirmationOf(this.#shell);
    try {
      writeSync(STDOUT, this.#shell === undefined ? 'mounted' : `mounted ${process.pid}`);
    } catch {
      return false;
    } finally {
      this.#end();
    }
    return confirmed;
  }

  tellRefused(reason: string): void {
    try {
      writeSync(this.#stderr, `fuse-lamina: ${reason}\n`);
      writeSync(STDOUT, 'refused');
    } catch {
      // Nobody is there to hear it.
    }
    this.#end();
  }

  /** Standard output becomes what standard error is; the shell's read of it ends. */
  #end(): void {
    const nothing = openSync('/dev/null', 'r+');
    dup3(nothing, STDOUT, 0);
    closeSync(nothing);
    if (this.#stderr !== STDERR) closeSync(this.#stderr);
    this.#stderr = STDERR;
  }
}
