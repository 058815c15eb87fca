import { MS_PRIVATE, MS_REC } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { mount } from '../../fs/sys/mount.ts';
import { CLONE_NEWNS, unshare } from '../../fs/sys/namespaces.ts';
import { enterUserNamespace, isRootless } from '../container/userns.ts';
import { executeAgain } from '../execute-again.ts';

/** Tells the process that it is in its own namespace; its number says that it is meant. */
const MARKER = 'LAMINA_PRIVATE_MOUNTS';

/**
 * Puts this process into a mount namespace of its own, from which nothing gets out: an ordinary user's is one already; root
 * executes the same command line again, all of whose threads are in the new one then.
 *
 * Call it first in a command: what the process has done before is done a second time.
 */
export async function enterPrivateMounts(): Promise<void> {
  await enterUserNamespace(true);
  if (isRootless()) return;
  if (process.env[MARKER] === String(process.pid)) {
    Reflect.deleteProperty(process.env, MARKER);
    check(mount('', '/', '', MS_REC | MS_PRIVATE), "separate mounts from the host's");
    return;
  }
  check(unshare(CLONE_NEWNS), 'make a mount namespace');
  const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  executeAgain(process.execPath, argv, { [MARKER]: String(process.pid) });
}
