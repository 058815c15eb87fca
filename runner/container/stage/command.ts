import { Attr } from '../../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../../fs/sys/bytes.ts';
import { AT_FDCWD, S_IFDIR, S_IFMT } from '../../../fs/sys/constants.ts';
import { EACCES, ENOENT, ENOEXEC, describeErrno } from '../../../fs/sys/errno.ts';
import { statat } from '../../../fs/sys/file.ts';
import { Execution, X_OK, access } from '../../../fs/sys/process.ts';
import { EXIT, RunError } from '../spec.ts';

const attr = new Attr();

/** A command that has been found. */
export interface Program {
  /** execve(2); throws where it fails, with docker's exit code. */
  execute(): never;
}

/** Finds a command as execvp(3) does; throws where there is none, with docker's exit code. */
export function findProgram(args: readonly ByteString[], env: readonly ByteString[]): Program {
  const command = args[0] ?? '';
  const path = command.includes('/') ? command : findInPath(command, env);
  // Prepared before there is a filter, which may allow execve(2) and nothing else that it takes.
  const execution = new Execution(path, args, env);
  return {
    execute: () => {
      throw explain(path, execution.execute());
    },
  };
}

function findInPath(command: ByteString, env: readonly ByteString[]): ByteString {
  const value = env.findLast((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? '';
  const candidates = value.split(':').map((directory) => (directory === '' ? command : `${directory}/${command}`));
  const found = command === '' ? undefined : candidates.find(isExecutable);
  if (found !== undefined) return found.includes('/') ? found : `./${found}`;
  throw new RunError(`exec ${JSON.stringify(toText(command))}: not found in the container's PATH`, EXIT.notFound);
}

function isExecutable(path: ByteString): boolean {
  return access(AT_FDCWD, path, X_OK) === 0 && !isDirectoryPath(path);
}

function isDirectoryPath(path: ByteString): boolean {
  // statat does not follow a last symlink: one to a directory is found out by execve.
  return statat(AT_FDCWD, path, attr) === 0 && (attr.mode & S_IFMT) === S_IFDIR;
}

function explain(path: ByteString, errno: number): RunError {
  const name = JSON.stringify(toText(path));
  if (errno !== -ENOENT) {
    return new RunError(`exec ${name}: ${whyNotInvoked(path, errno)}`, EXIT.cannotInvoke);
  }
  const there = statat(AT_FDCWD, path, attr) === 0;
  const why = there ? 'its interpreter or loader is not in the container' : describeErrno(errno);
  return new RunError(`exec ${name}: ${why}`, EXIT.notFound);
}

function whyNotInvoked(path: ByteString, errno: number): string {
  if (errno === -EACCES && isDirectoryPath(path)) return 'is a directory';
  const advice = ': it is for another architecture, or a script without a first line that names its interpreter';
  return describeErrno(errno) + (errno === -ENOEXEC ? advice : '');
}
