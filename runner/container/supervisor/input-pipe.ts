import { Socket } from 'node:net';
import { type ContainerInput } from './container-io.ts';
import { untilWritable } from './until-writable.ts';

/** The writing end of a container's standard input, which whoever is attached shares. */
export class InputPipe implements ContainerInput {
  readonly #socket: Socket;

  /** @param fd of a pipe, ours from here on. */
  constructor(fd: number) {
    this.#socket = new Socket({ fd, readable: false, writable: true });
    // A container that ends, or that reads no more, is no error of ours.
    this.#socket.on('error', () => this.#socket.destroy());
  }

  write(chunk: Buffer): Promise<void> | undefined {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded || socket.write(chunk)) return undefined;
    return untilWritable(socket);
  }

  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }
}
