import { readSync, writeSync } from 'node:fs';
import { Duplex } from 'node:stream';
import { ReadStream } from 'node:tty';
import { check } from '../../../fs/sys/errno.ts';
import { setNonBlocking } from '../../../fs/sys/event.ts';
import { close } from '../../../fs/sys/file.ts';
import { duplicate } from '../../../fs/sys/process.ts';
import { type TerminalSize, openPtySlave, setTerminalSize } from '../../../fs/sys/terminal.ts';

const CHUNK_BYTES = 64 * 1024;
const FIRST_WAIT_MILLISECONDS = 5;
const LONGEST_WAIT_MILLISECONDS = 100;

/**
 * The master of a container's pty: what is written to it is typed, what is read from it is shown.
 *
 * The slave is kept open along with it, so that a container whose processes have all closed theirs can open it again;
 * `finish` tells that nobody is to write any more, and ends the stream with what is left.
 */
export class PseudoTerminal extends Duplex {
  readonly #master: number;
  readonly #slave: number;
  /** On a descriptor of its own, which it closes. Writes do not go this way: where they would wait, libuv spins. */
  readonly #reader: ReadStream;
  #waiting: NodeJS.Timeout | undefined;
  #finished = false;

  /** @param master descriptor, which the stream closes. */
  constructor(master: number) {
    super({ allowHalfOpen: false });
    this.#master = master;
    this.#slave = check(openPtySlave(master), "open the slave of the container's terminal");
    check(setNonBlocking(master, true), "prepare the container's terminal");
    this.#reader = new ReadStream(check(duplicate(master), "read the container's terminal"));
    this.#reader.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) this.#reader.pause();
    });
    // The kernel answers EIO once no slave is open; the slave that we hold is closed by `finish` alone.
    this.#reader.on('error', () => undefined);
  }

  resize(size: TerminalSize): void {
    setTerminalSize(this.#master, size);
  }

  /** To be called when the session's leader has ended: what it wrote is read, then the stream ends. */
  finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#reader.destroy();
    close(this.#slave);
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    // Those whom the leader has left behind may hold the slave for ever: what is not there now is not waited for.
    for (let length = this.#tryRead(buffer); length > 0; length = this.#tryRead(buffer)) {
      this.push(Buffer.from(buffer.subarray(0, length)));
    }
    this.push(null);
  }

  #tryRead(buffer: Buffer): number {
    try {
      return readSync(this.#master, buffer);
    } catch {
      return 0;
    }
  }

  override _read(): void {
    if (!this.#finished) this.#reader.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#type(chunk, FIRST_WAIT_MILLISECONDS, callback);
  }

  /** The kernel takes no more than the programs inside have room for: what they do not read waits. */
  #type(bytes: Buffer, wait: number, callback: () => void): void {
    const written = this.#tryWrite(bytes);
    if (written === bytes.length) {
      callback();
      return;
    }
    const next = written > 0 ? FIRST_WAIT_MILLISECONDS : Math.min(wait * 2, LONGEST_WAIT_MILLISECONDS);
    this.#waiting = setTimeout(() => this.#type(bytes.subarray(written), next, callback), wait);
  }

  #tryWrite(bytes: Buffer): number {
    // As if it had been typed just before the end.
    if (this.#finished) return bytes.length;
    try {
      return writeSync(this.#master, bytes);
    } catch (error) {
      // EIO: nobody has the slave open but a session that has been hung up.
      return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 0 : bytes.length;
    }
  }

  /** Closing the master hangs the terminal up: its session gets SIGHUP. */
  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    clearTimeout(this.#waiting);
    if (!this.#finished) {
      this.#finished = true;
      this.#reader.destroy();
      close(this.#slave);
    }
    close(this.#master);
    callback(error);
  }
}
