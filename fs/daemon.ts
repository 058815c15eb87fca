import { type ChildProcess, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { type Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type MountOptions } from './mount.ts';
import { CLOSE_RANGE_CLOEXEC, closeRange } from './sys/process.ts';

/** The descriptor on which a daemon gets its options and tells how it went. */
export const CHANNEL = 3;

const PROGRAM = fileURLToPath(new URL('./daemon-process.js', import.meta.url));

/** The daemon's standard error: a file where LAMINA_LOG names one. */
function logTarget(): number | 'ignore' {
  const { LAMINA_LOG: path } = process.env;
  if (path === undefined || path === '') return 'ignore';
  return openSync(path, 'a', 0o600);
}

/**
 * Mounts in a process of its own, which serves until the mount ends. Resolves once the mount answers; rejects with the
 * daemon's reason.
 */
export async function spawnDaemon(options: MountOptions): Promise<void> {
  // The daemon must not hold the pipes of whoever started us: they would wait for its end. Node marks those that it
  // finds, up to the first gap.
  closeRange(CHANNEL, CLOSE_RANGE_CLOEXEC);
  const daemon = spawn(process.execPath, [PROGRAM], {
    detached: true,
    stdio: ['ignore', 'ignore', logTarget(), 'pipe'],
  });
  // Node makes such a pipe a socket pair.
  const channel = daemon.stdio[CHANNEL] as Duplex;
  channel.on('error', () => undefined);
  channel.write(`${JSON.stringify(options)}\n`);
  const failure = await readAnswer(daemon, channel);
  channel.destroy();
  daemon.unref();
  if (failure !== '') throw new Error(failure);
}

/** An empty text where the mount answers, else why it does not. */
function readAnswer(daemon: ChildProcess, channel: Duplex): Promise<string> {
  let answer = '';
  return new Promise((resolve) => {
    channel.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
      if (answer.endsWith('\n')) resolve(answer.trim());
    });
    daemon.once('error', (error) => resolve(`cannot start the daemon: ${error.message}`));
    daemon.once('close', (code, signal) =>
      resolve(answer.trim() || `the daemon ended early (${signal ?? `exit code ${code ?? 'unknown'}`})`),
    );
  });
}
