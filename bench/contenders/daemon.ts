import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandLine, run } from '../command.ts';
import { type Mounted, workingDirectory } from './contender.ts';

const POLL_MILLISECONDS = 5;

async function untilMounted(path: string, daemon: ChildProcess, messages: () => string): Promise<void> {
  const before = statSync(join(path, '..')).dev;
  while (statSync(path).dev === before) {
    if (daemon.exitCode !== null || daemon.signalCode !== null) {
      throw new Error(`${daemon.spawnargs.join(' ').slice(0, 120)}: ended before it mounted: ${messages().trim()}`);
    }
    await sleep(POLL_MILLISECONDS);
  }
}

async function unmountDaemon(path: string, daemon: ChildProcess, end: Promise<unknown>): Promise<void> {
  try {
    await run(['umount', path]);
  } catch (error) {
    // Nothing is to be left: a mount in use is detached, and its daemon ends with it.
    await run(['umount', '--lazy', path]).catch(() => undefined);
    daemon.kill('SIGTERM');
    await end;
    throw error;
  }
  await end;
}

/** Serves in the foreground, so that the process is known and ends with the benchmark. */
export async function mountDaemon(command: CommandLine, path: string): Promise<Mounted & { readonly pid: number }> {
  const [program, ...parameters] = ['setpriv', '--pdeathsig', 'TERM', ...command] as const;
  const daemon = spawn(program, parameters, { cwd: workingDirectory(path), stdio: ['ignore', 'ignore', 'pipe'] });
  let messages = '';
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => (messages = (messages + text).slice(-4096)));
  const end = once(daemon, 'exit');
  await Promise.race([once(daemon, 'spawn'), end]);
  await untilMounted(path, daemon, () => messages);
  return { pid: daemon.pid ?? 0, unmount: () => unmountDaemon(path, daemon, end) };
}
