import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import {
  type AttachRequest,
  CONTROL_SOCKET,
  type ControlAnswer,
  type ControlRequest,
  type ExecRequest,
  LONGEST_REQUEST,
} from './control-protocol.ts';
import { within } from './deferred.ts';
import { DirectoryPath } from './directory-path.ts';
import { removeFile } from '../../image/remove-file.ts';

/** What a supervisor does on requests. */
export interface ControlHandler {
  /** Does what is asked for; rejects with why it cannot be done. */
  answer(request: Exclude<ControlRequest, AttachRequest | ExecRequest>): Promise<ControlAnswer>;
  /** Takes over a connection, paused, after its request to attach, which it answers. */
  attach(request: AttachRequest, socket: Socket): void;
  /** The same for a request to add a process. */
  exec(request: ExecRequest, socket: Socket): void;
}

// Whoever is stopped, or does not read, is not waited for.
const FLUSH_MILLISECONDS = 2000;

/** A container's control socket. Its directory is closed to other users; who may connect may do all. */
export class ControlServer {
  readonly #server: Server;
  readonly #path: DirectoryPath;
  readonly #sockets = new Set<Socket>();
  readonly #handler: ControlHandler;

  private constructor(directory: string, handler: ControlHandler) {
    this.#path = new DirectoryPath(directory);
    this.#handler = handler;
    // Both sides of an attachment end by themselves.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#receive(socket));
  }

  /** Resolves once the socket can be connected to; one that a killed supervisor left is replaced. */
  static async listen(directory: string, handler: ControlHandler): Promise<ControlServer> {
    const control = new ControlServer(directory, handler);
    const path = control.#path.of(CONTROL_SOCKET);
    removeFile(path);
    await new Promise<void>((resolve, reject) => {
      control.#server.once('error', reject);
      control.#server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
    return control;
  }

  #receive(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    let text = Buffer.alloc(0);
    const listener = (chunk: Buffer): void => {
      text = Buffer.concat([text, chunk]);
      const end = text.indexOf('\n');
      if (end < 0 && text.length > LONGEST_REQUEST) socket.destroy();
      if (end < 0) return;
      socket.off('data', listener);
      socket.pause();
      if (end + 1 < text.length) socket.unshift(text.subarray(end + 1));
      this.#dispatch(text.toString('utf8', 0, end), socket);
    };
    socket.on('data', listener);
    socket.once('end', () => {
      if (text.indexOf('\n') < 0) socket.destroy();
    });
  }

  #dispatch(line: string, socket: Socket): void {
    let request: ControlRequest;
    try {
      request = JSON.parse(line) as ControlRequest;
    } catch {
      socket.destroy();
      return;
    }
    if (request.do === 'attach') {
      this.#handler.attach(request, socket);
      return;
    }
    if (request.do === 'exec') {
      this.#handler.exec(request, socket);
      return;
    }
    this.#handler.answer(request).then(
      (answer) => socket.end(`${JSON.stringify(answer)}\n`),
      (error: unknown) => {
        const message = error instanceof Error ? error.message : String(error);
        socket.end(`${JSON.stringify({ error: message })}\n`);
      },
    );
    // To be told when the other side goes.
    socket.resume();
  }

  /** Removes the socket; the connections that there are go on. */
  close(): void {
    this.#server.close();
    this.#path.close();
  }

  /** Resolves when all connections have ended, or will not. */
  async flush(): Promise<void> {
    const ends = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    await within(Promise.all(ends), FLUSH_MILLISECONDS);
    for (const socket of this.#sockets) socket.destroy();
  }
}
