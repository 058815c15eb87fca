import { toBytes } from '../fs/sys/bytes.ts';
import { SystemError } from '../fs/sys/errno.ts';
import { execve, setCloseOnExec } from '../fs/sys/process.ts';
import { renamingExtraCertificates } from './extra-certificates.ts';

/**
 * Becomes a program that executes this command line again: the same process, with its standard files and environment.
 *
 * @param argv from the program's own name on.
 * @param variables beside those that are there; by them the command line knows that it is executed again.
 * @param descriptors that stay open, too.
 * @throws SystemError
 */
export function executeAgain(
  program: string,
  argv: readonly string[],
  variables: Readonly<Record<string, string>>,
  descriptors: readonly number[] = [],
): never {
  // Node marks even the standard files close-on-exec.
  for (const descriptor of [0, 1, 2, ...descriptors]) setCloseOnExec(descriptor, false);
  const env = Object.entries({ ...renamingExtraCertificates(process.env), ...variables });
  const failed = execve(
    toBytes(program),
    argv.map(toBytes),
    env.map(([name, value]) => toBytes(`${name}=${value}`)),
  );
  throw new SystemError(`execute ${program}`, failed);
}
