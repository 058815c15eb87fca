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

/**
 * The descriptors that this process has from whoever started the shell. It has opened others of its own, but none of
 * those has both the number and the object of one of the shell's. Undefined where /proc shows another process by that id.
 */
function inheritedFrom(shell: string): number[] | undefined {
  try {
    const [own, theirs] = [descriptorsOf('self'), descriptorsOf(shell)];
    const answer = own.get(STDOUT);
    if (answer === undefined || ![...theirs.values()].includes(answer)) return undefined;
    return [...own.keys()].filter((fd) => fd > STDERR && own.get(fd) === theirs.get(fd));
  } catch {
    return undefined;
  }
}

/** The shell that waits for a daemon, and the standard error of its caller. */
export class Launcher {
  #stderr = STDERR;

  /**
   * Lets go of all that is the caller's, who would wait for the end of those who hold it: the session and the descriptors,
   * except for what an answer needs. Answers false where that cannot be.
   */
  leave(shell: string): boolean {
    const inherited = inheritedFrom(shell);
    if (inherited === undefined) return false;
    const target = logTarget();
    leadSession();
    inherited.forEach(closeSync);
    const log = target === 'ignore' ? openSync('/dev/null', 'r+') : target;
    this.#stderr = duplicate(STDERR);
    dup3(log, STDERR, 0);
    closeSync(log);
    return true;
  }

  /** Answers whether the shell, and so perhaps whoever waits for it, is there to hear it. */
  tellMounted(): boolean {
    try {
      writeSync(STDOUT, 'mounted');
      return true;
    } catch {
      return false;
    } finally {
      this.#end();
    }
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
