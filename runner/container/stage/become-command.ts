import { toBytes } from '../../../fs/sys/bytes.ts';
import { O_DIRECTORY, O_PATH } from '../../../fs/sys/constants.ts';
import { check, describeErrno } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { umask } from '../../../fs/sys/metadata.ts';
import { fchdir, joinNewSessionKeyring, resetSignals } from '../../../fs/sys/process.ts';
import { RLIMIT_NOFILE, setSoftLimit } from '../../../fs/sys/resource-limits.ts';
import { EXIT, type ProcessSpec, RunError, type SecuritySpec, type RootChange } from '../spec.ts';
import { type Account } from './account.ts';
import { findProgram } from './command.ts';
import { Inside } from './inside.ts';
import { CAP_SYS_CHROOT, Privileges } from './privileges.ts';
import { dieWithClient } from './stage.ts';
import { prepareStandardFiles } from './standard-files.ts';
import { type StageTerminal } from './terminal.ts';

// The soft limit that programs which use select(2), or close every descriptor, are made for. Node raised its own.
const SOFT_OPEN_FILES = 1024;

/** Where a stage has got to: in the container's namespaces, with the container's root as its own. */
export interface Entered {
  readonly account: Account;
  readonly change: RootChange;
  readonly terminal: StageTerminal | undefined;
}

/** The last steps of a stage, on which the container's own files have a say: they end with execve. */
export function becomeCommand(
  spec: ProcessSpec,
  security: SecuritySpec,
  { account, change, terminal }: Entered,
): never {
  enterWorkdir(Inside.open('/'), spec.workdir);
  // A keyring of its own, where the kernel has keyrings at all.
  joinNewSessionKeyring();
  terminal?.take(account.uid);
  prepareStandardFiles(account.uid);
  check(setSoftLimit(RLIMIT_NOFILE, SOFT_OPEN_FILES), 'set the limit of open files');
  umask(security.umask);
  // Who may call chroot(2) leaves a plain chroot as he likes.
  const privileges = new Privileges(security, change === 'chroot' ? [CAP_SYS_CHROOT] : []);
  privileges.take(account);
  dieWithClient();
  resetSignals();
  const program = findProgram(spec.args.map(toBytes), environment(spec, account).map(toBytes));
  privileges.confine();
  return program.execute();
}

function enterWorkdir(inside: Inside, workdir: string): void {
  const fd = inside.tryOpen(toBytes(workdir), O_PATH | O_DIRECTORY);
  const entered = fd < 0 ? fd : fchdir(fd);
  if (entered < 0) {
    const message = `working directory ${JSON.stringify(workdir)} of the container: ${describeErrno(entered)}`;
    throw new RunError(message, EXIT.cannotInvoke);
  }
  close(fd);
}

function environment(spec: ProcessSpec, account: Account): readonly string[] {
  const hasHome = spec.env.some((entry) => entry.startsWith('HOME='));
  return hasHome ? spec.env : [...spec.env, `HOME=${account.home}`];
}
