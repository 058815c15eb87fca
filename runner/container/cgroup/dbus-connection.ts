import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type MethodCall, decodeAnswer, encodeCall, messageLength } from './dbus-message.ts';

/** A connection to a D-Bus server at a unix socket, for calls one after another. */
export class DbusConnection {
  readonly #socket: Socket;
  readonly #failed: Promise<never>;
  #received = Buffer.alloc(0);
  #serial = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#failed = Promise.race([
      once(socket, 'error').then(([error]) => Promise.reject(error as Error)),
      once(socket, 'end').then(() => Promise.reject(new Error('it closed the connection'))),
    ]);
    // Whoever waits is told.
    this.#failed.catch(() => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
  }

  /** @param uid ours, as the server sees it. */
  static async open(path: string, uid: number): Promise<DbusConnection> {
    const connection = new DbusConnection(connect(path));
    const hexadecimal = Buffer.from(String(uid), 'latin1').toString('hex');
    connection.#socket.write(`\0AUTH EXTERNAL ${hexadecimal}\r\n`, 'latin1');
    const answer = await connection.#line();
    if (!answer.startsWith('OK ')) throw new Error(`it does not know us: ${answer}`);
    connection.#socket.write('BEGIN\r\n');
    return connection;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Resolves once the call has been answered. */
  async call(call: MethodCall): Promise<void> {
    this.#serial += 1;
    this.#socket.write(encodeCall(call, this.#serial));
    for (;;) {
      const answer = decodeAnswer(await this.#message());
      if (answer?.replySerial !== this.#serial) continue;
      if (answer.error !== undefined) throw new Error(answer.error);
      return;
    }
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#received.indexOf('\r\n');
      if (end >= 0)
        return this.#take(end + 2)
          .toString('latin1')
          .trimEnd();
      await this.#more();
    }
  }

  async #message(): Promise<Buffer> {
    for (;;) {
      const length = messageLength(this.#received);
      if (length !== undefined && this.#received.length >= length) return this.#take(length);
      await this.#more();
    }
  }

  #take(length: number): Buffer {
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }

  #more(): Promise<unknown> {
    return Promise.race([once(this.#socket, 'data'), this.#failed]);
  }
}
