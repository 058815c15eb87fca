import { isatty } from 'node:tty';
import { createInterface } from 'node:readline/promises';
import { Command } from 'commander';
import { exitNow, toText } from '../fs/index.ts';
import { type Container } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { type Change, diffContainer } from '../runner/container/diff.ts';
import { EXIT, RunError } from '../runner/container/spec.ts';
import { type Store, openStore } from '../runner/image/store.ts';
import { enterPrivateMounts } from '../runner/try/private-mounts.ts';
import { complain, messageOf } from './complain.ts';
import { print, printError } from './print.ts';
import { printable } from './printable.ts';

interface Flags {
  readonly root: string;
  readonly workdir?: string;
  readonly diff?: true;
  readonly commit?: true;
  readonly discard?: true;
  readonly keep?: string;
  readonly resume?: string;
}

const DETAILS = `
The command sees this machine's own files, in a union over all its real filesystems, and writes to a layer aside: nothing of
the machine is changed before you say so. It has namespaces of its own for mounts, processes, IPC and the host name, the
machine's network, docker's capabilities and seccomp policy, and a /dev, /proc and /sys of a container; sockets of the
machine's services lead nowhere. It is root where lamina runs as root; for an ordinary user it is root over that user's
files alone, and cannot change what the user could not.

When it has ended, what was added (A), changed (C) and deleted (D) is listed, and at a terminal you are asked. --commit makes
the changes where the command ended with 0: each file is written aside and renamed, deletions come last, and nothing is done
where somebody else has changed one of the files meanwhile. --keep NAME keeps them as a container, --resume NAME makes those
of a kept one, or finishes a commit that was interrupted; "lamina rm NAME" gives them up. The exit status is the command's.`;

/** `lamina try`. */
export function createCommand(): Command {
  return new Command('try')
    .description(
      "Run a command on this machine's own files without changing them, show what it would change, and do it or not.",
    )
    .argument('[command...]', 'what to run, with its arguments')
    .option('--root <directory>', 'what the command has as its root, and changes are made to', '/')
    .option('-w, --workdir <directory>', 'working directory (default: the present one, if it is below the root)')
    .option('--diff', 'show the changes of files, too, as diff -u has them')
    .option('--commit', 'make the changes where the command succeeds, without asking')
    .option('--discard', 'give them up, without asking')
    .option('--keep <name>', 'keep them under a name, without asking')
    .option('--resume <name>', 'make the changes that were kept, or that an interrupted commit began to make')
    .addHelpText('after', DETAILS)
    .passThroughOptions()
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.ownError))
    .action(act);
}

async function act(command: readonly string[], flags: Flags): Promise<void> {
  let exitCode: number;
  try {
    checkFlags(command, flags);
    await enterPrivateMounts();
    exitCode = flags.resume === undefined ? await runAndDecide(command, flags) : await resume(flags.resume, flags);
  } catch (error) {
    complain(messageOf(error));
    exitCode = error instanceof RunError ? error.exitCode : EXIT.ownError;
  }
  exitNow(exitCode);
}

function checkFlags(command: readonly string[], { commit, discard, keep, resume }: Flags): void {
  const ways = [commit, discard, keep, resume].filter((flag) => flag !== undefined);
  if (ways.length > 1) throw new Error('--commit, --discard, --keep and --resume are one or the other');
  if (command.length === 0 && resume === undefined) throw new Error('say which command to try');
  if (command.length > 0 && resume !== undefined) throw new Error('--resume runs no command');
}

/** What becomes of the changes. */
type Decision = 'commit' | 'discard' | 'keep';

async function runAndDecide(command: readonly string[], flags: Flags): Promise<number> {
  const { tryCommand } = await import('../runner/try/try.ts');
  const store = openStore();
  const workdir = flags.workdir ?? insideOf(flags.root, process.cwd());
  const options = { command, root: flags.root, workdir, name: flags.keep, interactive: true };
  let made: Container | undefined;
  const note = (container: Container): void => void (made = container);
  try {
    const exitCode = await tryCommand(store.root, options, note, complain);
    if (made === undefined) return exitCode;
    const changes = diffContainer(made);
    await show(made, changes, flags);
    const decision = await decide(changes, exitCode, flags);
    if (decision === 'commit') await apply(made);
    if (decision === 'keep') made = undefined;
    return exitCode;
  } catch (error) {
    if (made !== undefined && (await isBegun(made))) {
      complain(`the commit is not whole: "lamina try --resume ${made.config.name}" finishes it`);
      made = undefined;
    }
    throw error;
  } finally {
    if (made !== undefined) remove(store, made);
  }
}

/** Whether changes have begun to be made. */
async function isBegun(container: Container): Promise<boolean> {
  const { readRecord } = await import('../runner/try/try.ts');
  return readRecord(container).plan !== undefined;
}

/** The path of a directory from a root that it is below. */
function insideOf(root: string, directory: string): string {
  if (root === '/') return directory;
  return directory.startsWith(`${root}/`) ? directory.slice(root.length) : '/';
}

async function show(container: Container, changes: readonly Change[], { diff }: Flags): Promise<void> {
  const isTerminal = isatty(1);
  const lines = changes.map(({ kind, path }) => `${kind} ${isTerminal ? printable(toText(path)) : path}\n`);
  print(isTerminal ? lines.join('') : Buffer.from(lines.join(''), 'latin1'));
  if (diff !== true) return;
  const { unifiedDiffs } = await import('../runner/try/unified-diff.ts');
  const { readRecord } = await import('../runner/try/try.ts');
  for (const text of unifiedDiffs(container, readRecord(container).root)) print(text);
}

async function decide(changes: readonly Change[], exitCode: number, flags: Flags): Promise<Decision> {
  if (flags.keep !== undefined) return 'keep';
  if (flags.commit === true) {
    if (exitCode === 0) return 'commit';
    complain(`the command ended with ${exitCode}: nothing is changed`);
    return 'discard';
  }
  if (flags.discard === true || changes.length === 0 || !isatty(0) || !isatty(2)) return 'discard';
  return (await ask()) ? 'commit' : 'discard';
}

async function ask(): Promise<boolean> {
  printError('Make these changes? [y/N] ');
  const input = createInterface({ input: process.stdin, terminal: false });
  try {
    for await (const line of input) return /^y(?:es)?$/i.test(line.trim());
    return false;
  } finally {
    input.close();
  }
}

async function apply(container: Container): Promise<void> {
  const { applyChanges } = await import('../runner/try/apply.ts');
  const { readRecord } = await import('../runner/try/try.ts');
  applyChanges(container, readRecord(container));
}

async function resume(name: string, flags: Flags): Promise<number> {
  const { hostTree, readRecord } = await import('../runner/try/try.ts');
  const { mountHostTree } = await import('../runner/try/host-tree.ts');
  const store = openStore();
  const container = new ContainerStore(store.root).find(name);
  mountHostTree(readRecord(container).root, hostTree(store.root), store.root);
  await show(container, diffContainer(container), flags);
  await apply(container);
  remove(store, container);
  return 0;
}

function remove(store: Store, container: Container): void {
  new ContainerStore(store.root, (id) => store.release(id)).remove(container);
}
