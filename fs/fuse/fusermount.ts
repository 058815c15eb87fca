import { spawnSync } from 'node:child_process';
import { type ByteString, toText } from '../sys/bytes.ts';
import { EINTR, describeErrno } from '../sys/errno.ts';
import { close } from '../sys/file.ts';
import type { RunProgram } from '../sys/run-program.ts';
import { receiveDescriptor, socketpair } from '../sys/socket.ts';
import type { FuseOptions } from './options.ts';
import { MAX_READ } from './slot.ts';

// fusermount3 is setuid root: it mounts for users, within what /etc/fuse.conf allows, and hands the device over.

const PROGRAM = 'fusermount3';
/** The number that the socket has in the child. */
const CHILD_SOCKET = 3;

interface Failure {
  readonly reason: string;
}

function optionsOf(options: FuseOptions): string {
  const fsname = escape(options.fsname ?? 'lamina');
  const list = [`fsname=${fsname}`, 'subtype=lamina', 'default_permissions', `max_read=${MAX_READ}`];
  if (options.readOnly === true) list.push('ro');
  if (options.exec === false) list.push('noexec');
  if (options.atime !== true) list.push('noatime');
  if (options.diratime === false) list.push('nodiratime');
  // Only on request: without user_allow_other in /etc/fuse.conf it is refused to users.
  if (options.allowOther === true) list.push('allow_other');
  return list.join(',');
}

function escape(value: ByteString): string {
  return toText(value).replace(/[\\,]/g, (character) => `\\${character}`);
}

function explain(error: Pick<NodeJS.ErrnoException, 'code' | 'message'> | undefined, stderr: string): string {
  if (error?.code === 'ENOENT') return 'not installed (as root: apt-get install fuse3)';
  if (error?.code === 'EACCES') return 'may not be executed (EACCES)';
  if (error !== undefined) return error.message;
  const [line] = stderr.trim().split('\n');
  return line === undefined || line === '' ? 'failed without a message' : line.replace(/^fusermount3:\s*/, '');
}

/** Mounts through fusermount3; answers the device's file descriptor. */
export function mountByHelper(mountpoint: ByteString, options: FuseOptions): number | Failure {
  const sockets = socketpair();
  if (typeof sockets === 'number') return { reason: describeErrno(sockets) };
  const [ours, theirs] = sockets;
  try {
    const child = spawnSync(PROGRAM, ['-o', optionsOf(options), '--', toText(mountpoint)], {
      stdio: ['ignore', 'ignore', 'pipe', theirs],
      env: { ...process.env, _FUSE_COMMFD: String(CHILD_SOCKET) },
      encoding: 'utf8',
    });
    if (child.status !== 0) return { reason: explain(child.error, child.stderr) };
    return receive(ours);
  } finally {
    close(ours);
    close(theirs);
  }
}

function receive(socket: number): number | Failure {
  for (;;) {
    const fd = receiveDescriptor(socket);
    if (fd >= 0) return fd;
    if (fd !== -EINTR) return { reason: `sent no file descriptor: ${describeErrno(fd)}` };
  }
}

/** Unmounts what `mountByHelper` mounted; resolves with its complaint, if it has one. */
export async function unmountByHelper(
  mountpoint: ByteString,
  lazy: boolean,
  run: RunProgram,
): Promise<string | undefined> {
  const parameters = ['-u', ...(lazy ? ['-z'] : []), '--', toText(mountpoint)];
  const { status, stderr, failure } = await run({ file: PROGRAM, parameters });
  return status === 0 ? undefined : explain(failure, stderr);
}
