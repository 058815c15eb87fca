import { type Socket } from 'node:net';
import { type StreamName } from '../logs/json-log.ts';
import { type ContainerIo } from './container-io.ts';
import {
  type AttachRequest,
  type ExecFailure,
  encodeExit,
  encodeFrame,
  FRAME,
  readFrames,
} from './control-protocol.ts';
import { Deferred } from './deferred.ts';
import { type OutputReader } from './output.ts';
import { untilWritable } from './until-writable.ts';

/** What is sent to a client that does not read before the container has to wait for it. */
const WINDOW = 1024 * 1024;

/** A client that is attached to a run of a container: it reads what that writes, and may write what that reads. */
export class Attachment implements OutputReader {
  readonly #socket: Socket;
  readonly #request: AttachRequest;
  readonly #io: ContainerIo;
  /** Its end of file is the container's. */
  readonly #isInputOnce: boolean;
  readonly #released: Promise<void>;
  #hasDetached = false;
  readonly #abandoned = new Deferred<undefined>();
  #release: () => void = () => undefined;

  constructor(socket: Socket, request: AttachRequest, io: ContainerIo, isInputOnce: boolean) {
    this.#socket = socket;
    this.#request = request;
    this.#io = io;
    this.#isInputOnce = isInputOnce;
    this.#released = new Promise((resolve) => (this.#release = resolve));
    if (request.size !== undefined) io.resize?.(request.size);
    io.output?.add(this);
    socket.write('{}\n');
    socket.once('close', () => this.#leave());
    void this.#readFrames();
  }

  write(stream: StreamName, chunk: Buffer): Promise<void> | undefined {
    const { output, errors } = this.#request;
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded || !(stream === 'stdout' ? output : errors)) return undefined;
    socket.write(encodeFrame(stream === 'stdout' ? FRAME.stdout : FRAME.stderr, chunk));
    if (socket.writableLength < WINDOW) return undefined;
    return Promise.race([untilWritable(socket), this.#released]);
  }

  /** The container has ended: what it wrote last is not to wait for a client that does not read. */
  release(): void {
    this.#release();
  }

  /** Resolves when the client has gone without having detached. */
  get abandoned(): Promise<undefined> {
    return this.#abandoned.promise;
  }

  /** Tells how the run ended, after all that it wrote. */
  end(exitCode: number): void {
    this.#socket.end(encodeExit(exitCode));
  }

  /** Tells why the process that the client asked for could not be added. */
  fail(failure: ExecFailure): void {
    this.#socket.end(encodeFrame(FRAME.failure, Buffer.from(JSON.stringify(failure))));
  }

  async #readFrames(): Promise<void> {
    await readFrames(this.#socket, (kind, bytes) => this.#take(kind, bytes));
    if (!this.#socket.writableEnded) this.#socket.destroy();
  }

  #take(kind: number, bytes: Buffer): Promise<unknown> | undefined {
    const { input } = this.#io;
    if (kind === FRAME.resize && bytes.length >= 4) this.#resize(bytes);
    if (kind === FRAME.detach) this.#hasDetached = true;
    if (!this.#request.input) return undefined;
    if (kind === FRAME.stdin) return input?.write(bytes);
    if (kind === FRAME.stdinEnd && this.#isInputOnce) input?.end();
    return undefined;
  }

  #resize(bytes: Buffer): void {
    this.#io.resize?.({ rows: bytes.readUInt16LE(0), columns: bytes.readUInt16LE(2) });
  }

  #leave(): void {
    this.#release();
    this.#io.output?.remove(this);
    if (this.#hasDetached) return;
    this.#abandoned.resolve(undefined);
    // As docker has it: the input of a container that was made for one client ends with that.
    if (this.#request.input && this.#isInputOnce) this.#io.input?.end();
  }
}
