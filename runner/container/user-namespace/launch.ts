import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { NOT_STARTED } from '../not-started.ts';
import { findProgram } from '../program.ts';
import { delay } from '../supervisor/deferred.ts';
import { withProtectedNode } from '../protected-node.ts';
import { stageEnvironment } from '../stage-environment.ts';

// Node has several threads, and the kernel lets no such process into another user namespace: so stages of containers that
// have one of their own are started by util-linux. All that is given to them is given by descriptors, since their user
// need not be one who can open anything of ours.

/** A file for a descriptor of a stage. */
type File = number | 'ignore';

/** How a stage is started. */
interface Launch {
  readonly stage: string;
  readonly arguments?: readonly string[];
  /** What become its descriptors 0 and up. */
  readonly files: readonly File[];
}

/** The namespaces that are new to a stage. */
export interface OwnNamespaces {
  readonly network: boolean;
  readonly processes: boolean;
  /** The user namespace that they are of: a new one, the caller's, or that of a descriptor. */
  readonly users: 'own' | 'inherited' | number;
}

const throughFd = (fd: number): string => `/proc/self/fd/${fd}`;

/** Descriptor of the shell's for the stage's standard error. */
export const ERRORS_FD = 9;

// Stays for as long as the stage runs, and ends with docker's exit code for it; what a shell says of a child that was
// killed is for nobody. (unshare --fork of util-linux 2.38 takes the end by SIGKILL for a failure of its own.)
const WAIT = '(exec "$0" "$@" 2>&9 9>&-); exit $?';
const SHELL = ['/bin/sh', '-c', `exec 9>&2 2>/dev/null; ${WAIT}`];
const SILENT_SHELL = ['/bin/sh', '-c', WAIT];
const SHELL_WITHOUT_ERRORS = ['/bin/sh', '-c', '(exec "$0" "$@"); exit $?'];

/**
 * Starts a stage as a child of a shell in its user namespace: a pid namespace that is to be a user namespace's needs a
 * process in there that makes it, and then its first process. The shell ends with the thread that calls this, and the
 * stage with the shell.
 *
 * Where the user namespace is its caller's, nothing but the stage writes to its standard error.
 *
 * @throws where a program of util-linux is missing.
 */
export function launchInOwn({ stage, files, arguments: args = [] }: Launch, own: OwnNamespaces): ChildProcess {
  const { given, shell } = own.users === 'inherited' ? withErrorsAside(files) : { given: [...files], shell: SHELL };
  const users = typeof own.users === 'number' ? given.push(own.users) - 1 : undefined;
  const enter = users === undefined ? [] : [findProgram('nsenter', 'util-linux'), `--user=${throughFd(users)}`, '--'];
  const make = own.users === 'own' ? ['--user', '--keep-caps'] : [];
  return spawnNode(stage, given, (node) => [
    ...enter,
    // After the change of ids, which would undo it.
    ...[findProgram('setpriv', 'util-linux'), '--pdeathsig', 'KILL'],
    ...[findProgram('unshare', 'util-linux'), ...make],
    ...(own.network ? ['--net'] : []),
    ...(own.processes ? ['--pid'] : []),
    ...['--', ...shell, node, stage, ...args],
  ]);
}

/** Where who starts it is to say nothing on what becomes its standard error. */
function withErrorsAside(files: readonly File[]): { readonly given: File[]; readonly shell: readonly string[] } {
  const [input = 'ignore', output = 'ignore', errors = 'ignore', ...more] = files;
  const given: File[] = [input, output, 'ignore', ...more];
  if (errors === 'ignore') return { given, shell: SHELL_WITHOUT_ERRORS };
  while (given.length < ERRORS_FD) given.push('ignore');
  return { given: [...given, errors], shell: SILENT_SHELL };
}

/** Namespaces that a stage is to be in from its first instruction on, by descriptors. */
export interface EnteredNamespaces {
  readonly users?: number | undefined;
  readonly time?: number | undefined;
}

/** Starts a stage in namespaces that are there; where there are none, as it is. */
export function launchIn({ stage, files }: Launch, namespaces: EnteredNamespaces): ChildProcess {
  const given: File[] = [...files];
  const options = (['users', 'time'] as const).flatMap((kind) => {
    const fd = namespaces[kind];
    return fd === undefined ? [] : [`--${kind === 'users' ? 'user' : kind}=${throughFd(given.push(fd) - 1)}`];
  });
  const enter = options.length === 0 ? [] : [findProgram('nsenter', 'util-linux'), ...options, '--'];
  return spawnNode(stage, given, (node) => [...enter, node, stage]);
}

function spawnNode(stage: string, files: readonly File[], command: (node: string) => readonly string[]): ChildProcess {
  return withProtectedNode((fd) => {
    const [program = '', ...args] = command(throughFd(files.length));
    return spawn(program, args, {
      ...(args[0] === stage ? { argv0: 'lamina' } : {}),
      cwd: '/',
      env: stageEnvironment(),
      // A session of its own: a container must not reach the terminal of its caller (TIOCSTI).
      detached: true,
      stdio: [...files, fd],
    });
  });
}

const PATIENCE_MILLISECONDS = 10_000;

/** There is no stage, and will be none. */
export class LaunchFailed extends Error {
  override readonly name = 'LaunchFailed';
}

/**
 * The stage that `launchInOwn` has had started, by its shell.
 *
 * @param ended resolves with the shell's end, and the signal that was it.
 * @throws LaunchFailed where there is none; another error where there might be one yet.
 */
export async function childOf(launcher: number, ended: Promise<{ readonly signal: number | null }>): Promise<number> {
  const end: { signal?: number | null } = {};
  void ended.then(({ signal }) => (end.signal = signal));
  const deadline = Date.now() + PATIENCE_MILLISECONDS;
  for (;;) {
    const child = findChild(launcher);
    if (child !== undefined) return child;
    if (end.signal === null) throw new LaunchFailed(NO_CHILD);
    // A shell that has been killed may have started one before.
    if (end.signal !== undefined)
      throw new Error(`${NOT_STARTED}: the shell that was to do it was ended by signal ${end.signal}`);
    if (Date.now() > deadline) throw new Error(`${NO_CHILD} (it was given ${PATIENCE_MILLISECONDS} ms)`);
    await delay(1);
  }
}

const NO_CHILD =
  'unshare(1) of util-linux 2.36 or later could not make a user namespace for the container; what it says of it is in the container’s output, and /proc/sys/user/max_user_namespaces is how many there may be';

function findChild(pid: number): number | undefined {
  const children = readText(`/proc/${pid}/task/${pid}/children`).trim();
  return children === '' ? undefined : Number(children.split(' ')[0]);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // That of a process which is no more.
    if (code === 'ENOENT' || code === 'ESRCH') return '';
    throw error;
  }
}
