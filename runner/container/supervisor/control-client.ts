import { createConnection, type Socket } from 'node:net';
import { type Container, liveStatus } from '../container.ts';
import { RunError } from '../spec.ts';
import { type AttachRequest, CONTROL_SOCKET, type ControlRequest, type ExecRequest } from './control-protocol.ts';
import { delay } from './deferred.ts';
import { DirectoryPath } from './directory-path.ts';

/** The container does not run, or its supervisor has ended before it answered. */
export class NotLive extends Error {
  override readonly name = 'NotLive';

  constructor({ config: { name } }: Container) {
    super(`container ${name} is not running`);
  }
}

const POLL_MILLISECONDS = 10;

/**
 * Has a container's supervisor do something; answers what it says.
 *
 * @throws NotLive where there is no supervisor, or none any more.
 */
export async function ask(container: Container, request: ControlRequest): Promise<Readonly<Record<string, unknown>>> {
  const socket = await connect(container);
  socket.write(`${JSON.stringify(request)}\n`);
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of socket) chunks.push(chunk as Buffer);
  } catch {
    // As where it ends without an answer.
  }
  return readAnswer(container, Buffer.concat(chunks).toString('utf8'));
}

/** Attaches to a container, or to a process that is added to it: answers a connection that brings and takes frames. */
export async function attachTo(container: Container, request: AttachRequest | ExecRequest): Promise<Socket> {
  const socket = await connect(container);
  socket.write(`${JSON.stringify(request)}\n`);
  const line = await readLine(socket);
  readAnswer(container, line);
  return socket;
}

function readAnswer(container: Container, text: string): Readonly<Record<string, unknown>> {
  if (!text.endsWith('\n')) throw new NotLive(container);
  const answer = JSON.parse(text) as Readonly<Record<string, unknown>>;
  const { error, exitCode } = answer;
  if (typeof error !== 'string') return answer;
  // Why a process could not be started says so by itself.
  if (typeof exitCode === 'number') throw new RunError(error, exitCode);
  throw new Error(`container ${container.config.name}: ${error}`);
}

/** Reads up to the end of a line; what follows it stays in the socket, which is paused then. */
function readLine(socket: Socket): Promise<string> {
  let text = Buffer.alloc(0);
  return new Promise((resolve) => {
    const finish = (line: string): void => {
      socket.pause();
      socket.off('data', listen).off('close', end).off('end', end);
      resolve(line);
    };
    const end = (): void => finish('');
    const listen = (chunk: Buffer): void => {
      text = Buffer.concat([text, chunk]);
      const at = text.indexOf('\n') + 1;
      if (at === 0) return;
      finish(text.toString('utf8', 0, at));
      if (at < text.length) socket.unshift(text.subarray(at));
    };
    socket.on('data', listen).once('end', end).once('close', end);
  });
}

/** While its supervisor comes up, or goes, there is no socket, but a state that says so. */
async function connect(container: Container): Promise<Socket> {
  for (;;) {
    const socket = await tryConnect(container.directory);
    if (socket !== undefined) return socket;
    if (!hasSupervisor(container)) throw new NotLive(container);
    await delay(POLL_MILLISECONDS);
  }
}

function hasSupervisor(container: Container): boolean {
  const status = liveStatus(container.readState());
  return ['starting', 'running', 'restarting'].includes(status);
}

async function tryConnect(directory: string): Promise<Socket | undefined> {
  let path: DirectoryPath;
  try {
    path = new DirectoryPath(directory);
  } catch {
    return undefined;
  }
  try {
    return await new Promise<Socket>((resolve, reject) => {
      const socket = createConnection({ path: path.of(CONTROL_SOCKET), allowHalfOpen: true });
      socket.once('connect', () => resolve(socket)).once('error', reject);
      // Told by the end of what is read.
      socket.on('error', () => socket.destroy());
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED') return undefined;
    throw error;
  } finally {
    path.close();
  }
}
