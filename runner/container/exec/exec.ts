import { type Container } from '../container.ts';
import { AttachedClient, type ClientEnd } from '../supervisor/attached-client.ts';
import { ask, attachTo } from '../supervisor/control-client.ts';
import { type ExecRequest } from '../supervisor/control-protocol.ts';
import { sizeOfStandardFiles } from '../terminal/client-terminal.ts';

/**
 * Adds a process to a container that runs, and lends it our standard files until it ends, unless it is to be detached.
 *
 * @throws RunError where it cannot be started, NotLive where the container does not run.
 */
export async function exec(
  container: Container,
  options: Omit<ExecRequest, 'do' | 'size'>,
  detachKeys: Buffer,
): Promise<ClientEnd> {
  const { interactive, terminal, detached } = options;
  const request: ExecRequest = { ...options, do: 'exec', size: terminal ? sizeOfStandardFiles() : undefined };
  if (detached) {
    await ask(container, request);
    return { exitCode: 0 };
  }
  const socket = await attachTo(container, request);
  const streams = { stdin: interactive, stdout: true, stderr: true };
  return new AttachedClient(socket, { streams, terminal, detachKeys }).run();
}
