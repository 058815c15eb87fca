import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { hasProgram, run } from './command.ts';

/** Set in the process that has a mount namespace of its own. */
const MARK = 'LAMINA_BENCH_NAMESPACE';

/** Turns SIGINT, SIGTERM and SIGHUP into an abort, so that what was mounted and written is taken away first. */
export function interruptionSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => controller.abort(new Error(`ended by ${name}; what was complete is above`)));
  }
  return controller.signal;
}

async function startAgain(namespaces: readonly string[]): Promise<void> {
  const again = [process.execPath, ...process.argv.slice(1)];
  const parameters = [...namespaces, '--propagation', 'private', 'setpriv', '--pdeathsig', 'TERM', ...again];
  const child = spawn('unshare', parameters, { stdio: 'inherit', env: { ...process.env, [MARK]: '1' } });
  // A terminal sends it to both; the inner one tidies up, and this one waits for that.
  process.on('SIGINT', () => undefined);
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => child.kill(name));
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  process.exitCode = code ?? 128 + constants.signals[signal ?? 'SIGKILL'];
}

/** A user namespace, with all of one's subordinate ids where there are any: else every file is one user's. */
async function userNamespace(): Promise<string[]> {
  const one = ['--user', '--map-root-user', '--mount'];
  const all = [...one, '--map-auto'];
  const works =
    (await hasProgram('newuidmap')) &&
    run(['unshare', ...all, 'true']).then(
      () => true,
      () => false,
    );
  return (await works) ? all : one;
}

async function namespacesFor(rootless: boolean): Promise<readonly string[]> {
  const isRoot = process.getuid?.() === 0;
  if (rootless && isRoot) throw new Error('--rootless is for an ordinary user: start it as one');
  if (rootless) return userNamespace();
  if (isRoot) return ['--mount'];
  throw new Error(
    'dropping caches and mounting overlayfs need root: sudo npm run bench, or -- --rootless, or --list for what there is',
  );
}

/**
 * True in a process whose mounts are its own: whatever ends it, none is left on the machine. In any other it starts the
 * program again in such a namespace, waits for its end, and answers false. Throws where that needs more rights.
 */
export async function inOwnNamespace(rootless: boolean): Promise<boolean> {
  if (process.env[MARK] !== undefined) return true;
  await startAgain(await namespacesFor(rootless));
  return false;
}
