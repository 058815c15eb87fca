import { createReadStream } from 'node:fs';
import { type Socket } from 'node:net';
import { type Readable } from 'node:stream';
import { isatty } from 'node:tty';
import { ClientOutput, type StandardStreams, isStream } from '../client-output.ts';
import { RunError } from '../spec.ts';
import { RawTerminal, watchSize } from '../terminal/client-terminal.ts';
import { DetachFilter } from '../terminal/detach-keys.ts';
import { type ExecFailure, FRAME, encodeFrame, encodeResize, readFrames } from './control-protocol.ts';

/** How this process is connected with a container that it is attached to. */
export interface ClientOptions {
  readonly streams: StandardStreams;
  /** The process inside has a terminal: ours becomes its own, where we have one. */
  readonly terminal: boolean;
  /** Bytes that, typed at our terminal, leave the container alone. */
  readonly detachKeys: Buffer;
}

/** How an attachment ended: with the process's own exit code, or because the detach keys were typed. */
export type ClientEnd = { readonly exitCode: number } | 'detached';

/** Our standard files, while they are those of a process in a container, at the other end of a connection. */
export class AttachedClient {
  readonly #socket: Socket;
  readonly #options: ClientOptions;
  readonly #output: ClientOutput;
  readonly #end: Promise<ClientEnd>;
  #settle: (end: ClientEnd) => void = () => undefined;
  #fail: (error: Error) => void = () => undefined;
  #source: Readable | undefined;

  /** @param socket paused, its frames still to be read. */
  constructor(socket: Socket, options: ClientOptions) {
    this.#socket = socket;
    this.#options = options;
    // Where nobody reads our output any more, we are done, as a program that writes itself would be.
    this.#output = new ClientOutput(options.streams, () => this.#socket.destroy());
    this.#end = new Promise((settle, fail) => ([this.#settle, this.#fail] = [settle, fail]));
    this.#end.catch(() => undefined);
  }

  /**
   * Resolves when the process has ended, and all that it wrote has been written.
   *
   * @throws RunError where the process could not be started, with docker's exit code.
   */
  async run(): Promise<ClientEnd> {
    const { terminal, streams } = this.#options;
    const isOurs = terminal && streams.stdin && isatty(0);
    const raw = isOurs ? RawTerminal.enter(0) : undefined;
    const unwatch = terminal ? watchSize((size) => this.#socket.write(encodeResize(size))) : undefined;
    try {
      if (streams.stdin) this.#readInput(isOurs);
      void this.#readFrames();
      const end = await this.#end;
      await this.#output.flush();
      if (this.#output.failure !== undefined) throw this.#output.failure;
      return end;
    } finally {
      raw?.restore();
      unwatch?.();
      this.#source?.destroy();
      this.#socket.destroy();
    }
  }

  #readInput(isTerminal: boolean): void {
    const filter = new DetachFilter(isTerminal ? this.#options.detachKeys : Buffer.alloc(0));
    const source = isStream(0) ? process.stdin : createReadStream('', { fd: 0, autoClose: false });
    this.#source = source;
    source.on('data', (chunk: Buffer) => this.#send(filter, chunk));
    // A terminal ends when it is hung up: then nobody is there any more.
    const end = (): void =>
      isTerminal ? this.#fail(new Error('the terminal has been hung up')) : this.#endInput(filter);
    source.once('end', end);
    source.once('error', end);
    this.#socket.on('drain', () => source.resume());
  }

  #send(filter: DetachFilter, chunk: Buffer): void {
    const { bytes, detached } = filter.feed(chunk);
    const mayGoOn = bytes.length === 0 || this.#socket.write(encodeFrame(FRAME.stdin, bytes));
    if (detached) this.#detach();
    else if (!mayGoOn) this.#source?.pause();
  }

  #detach(): void {
    this.#socket.end(encodeFrame(FRAME.detach), () => this.#settle('detached'));
  }

  #endInput(filter: DetachFilter): void {
    const rest = filter.rest();
    if (rest.length > 0) this.#socket.write(encodeFrame(FRAME.stdin, rest));
    this.#socket.write(encodeFrame(FRAME.stdinEnd));
  }

  async #readFrames(): Promise<void> {
    await readFrames(this.#socket, (kind, bytes) => this.#take(kind, bytes));
    // After one that has told how it ended, this tells nothing.
    const { failure } = this.#output;
    this.#fail(failure ?? new Error('the connection with the container has ended: its supervisor was killed'));
  }

  #take(kind: number, bytes: Buffer): Promise<void> | undefined {
    if (kind === FRAME.stdout) return this.#output.write('stdout', bytes);
    if (kind === FRAME.stderr) return this.#output.write('stderr', bytes);
    if (kind === FRAME.exit) this.#settle({ exitCode: bytes.readUInt32LE(0) });
    if (kind === FRAME.failure) this.#fail(failureOf(bytes));
    return undefined;
  }
}

function failureOf(bytes: Buffer): Error {
  const { error, exitCode } = JSON.parse(bytes.toString('utf8')) as ExecFailure;
  return exitCode === undefined ? new Error(error) : new RunError(error, exitCode);
}
