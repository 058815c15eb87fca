import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

type Direction = 'up' | 'down';

/** A link to a server that does with what passes as a test tells it. */
export class FaultyLink {
  /** Bytes that have passed, of all connections. */
  readonly passed: Record<Direction, number> = { up: 0, down: 0 };
  /** What becomes of bytes that pass; undefined breaks the connection in their place. */
  pass: (bytes: Buffer, direction: Direction) => Buffer | undefined | Promise<Buffer | undefined> = (bytes) => bytes;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: string) {
    const [host = '', port = ''] = target.split(':');
    this.#server = createServer((near) => {
      const far = connect(Number(port), host);
      for (const [from, to, direction] of [
        [near, far, 'up'],
        [far, near, 'down'],
      ] as const) {
        this.#sockets.add(from);
        from.on('error', () => undefined);
        from.on('close', () => to.destroy());
        void this.#copy(from, to, direction);
      }
    });
  }

  static async open(target: string): Promise<FaultyLink> {
    const link = new FaultyLink(target);
    await new Promise<void>((resolve) => link.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      link.#server.close();
      for (const socket of link.#sockets) socket.destroy();
    });
    return link;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #copy(from: Socket, to: Socket, direction: Direction): Promise<void> {
    try {
      for await (const chunk of from) {
        const bytes = await this.pass(chunk as Buffer, direction);
        if (bytes === undefined) break;
        this.passed[direction] += bytes.length;
        if (!to.write(bytes)) await new Promise((resolve) => to.once('drain', resolve).once('close', resolve));
      }
    } catch {
      // The other end has gone.
    }
    to.destroySoon();
  }
}
