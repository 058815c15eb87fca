import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { CHANNEL, type DaemonOrder } from './daemon-channel.ts';
import { logTarget } from './log-target.ts';
import type { MountOptions } from './mount.ts';
import { toText } from './sys/text.ts';

const PROGRAM = fileURLToPath(new URL('./daemon-process.js', import.meta.url));

const O_CLOEXEC = 0o2000000;

/**
 * The daemon must not hold the pipes of whoever started us: they would wait for its end. Node marks those that it finds
 * when it starts, up to the first gap; others are looked for, since the call to mark them needs native code.
 */
async function closeOnExec(): Promise<void> {
  const inherited = readdirSync('/proc/self/fd').filter((fd) => Number(fd) >= CHANNEL && !isCloseOnExec(fd));
  if (inherited.length === 0) return;
  const { CLOSE_RANGE_CLOEXEC, closeRange } = await import('./sys/process.ts');
  closeRange(CHANNEL, CLOSE_RANGE_CLOEXEC);
}

function isCloseOnExec(fd: string): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
    return (parseInt(flags, 8) & O_CLOEXEC) !== 0;
  } catch {
    // The one that the directory was read through.
    return true;
  }
}

/** Node reads certificates of this variable when it starts, and they take it as long as all else: the daemon needs none. */
function daemonEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, NODE_EXTRA_CA_CERTS: undefined };
}

interface Daemon {
  readonly process: ChildProcess;
  readonly channel: Duplex;
}

/** Resolves with a daemon whose mount answers. */
async function startDaemon(order: DaemonOrder): Promise<Daemon> {
  await closeOnExec();
  // The argument is for ps(1) alone; the options come through the channel, whatever their length and bytes.
  const daemon = spawn(process.execPath, [PROGRAM, toText(order.mountpoint)], {
    detached: true,
    env: daemonEnvironment(),
    stdio: ['ignore', 'ignore', logTarget(), 'pipe'],
  });
  // Node makes such a pipe a socket pair.
  const channel = daemon.stdio[CHANNEL] as Duplex;
  channel.on('error', () => undefined);
  channel.write(`${JSON.stringify(order)}\n`);
  const failure = await readAnswer(daemon, channel);
  if (failure === '') return { process: daemon, channel };
  channel.destroy();
  daemon.unref();
  throw new Error(failure);
}

/**
 * Mounts in a process of its own, which serves until the mount ends. Resolves once the mount answers; rejects with the
 * daemon's reason.
 */
export async function spawnDaemon(options: MountOptions): Promise<void> {
  const { process: daemon, channel } = await startDaemon(options);
  // It unmounts where it is not told that we have heard of it.
  await new Promise<void>((resolve) => channel.end('\n', resolve));
  channel.destroy();
  daemon.unref();
}

/** A mount that a process of its own serves, for as long as this one wants it and lives. */
export interface AttendedMount {
  /** Resolves when the mount is gone and its upper is complete; rejects where it could not be unmounted. */
  unmount(): Promise<void>;
}

/**
 * Mounts a union for this process's own use: one that is served by its user can never be killed once a request of its
 * own is under way, since the thread that waits for the answer holds the device, and the dead do not answer.
 */
export async function mountAttended(options: MountOptions): Promise<AttendedMount> {
  const { process: daemon, channel } = await startDaemon({ ...options, isAttended: true });
  const ended = new Promise<boolean>((resolve) => {
    daemon.once('exit', (code) => resolve(code === 0));
  });
  return {
    unmount: async () => {
      channel.destroy();
      if (await ended) return;
      throw new Error(`the daemon that served ${toText(options.mountpoint)} did not end well`);
    },
  };
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
