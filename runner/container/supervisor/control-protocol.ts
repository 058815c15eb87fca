import { type Socket } from 'node:net';
import { type TerminalSize } from '../../../fs/sys/terminal.ts';

// What a container's supervisor is asked through its control socket: one request a connection, a line of JSON, which a
// line of JSON answers. After the answer to `attach` both sides send frames.

/** A request to a container's supervisor. */
export type ControlRequest =
  /** Sends a signal, by number, to the first process. */
  | { readonly do: 'signal'; readonly signal: number }
  | StopRequest
  /** Answered with the exit code of the run that is under way, or at the end of the supervisor. */
  | { readonly do: 'wait'; readonly until: 'exit' | 'end' }
  | AttachRequest
  | ExecRequest;

/**
 * Ends the container for good, as `docker stop` does, answered once its supervisor is about to end; or ends it and starts
 * it anew, answered once it runs.
 */
export interface StopRequest {
  readonly do: 'stop' | 'restart';
  /** In place of the container's own. */
  readonly signal?: number | undefined;
  /** From the signal to SIGKILL, in place of the container's own; negative for no end of it. */
  readonly seconds?: number | undefined;
}

/** Asks for what the container writes, and where `input` is given, offers what it is to read. */
export interface AttachRequest {
  readonly do: 'attach';
  readonly input: boolean;
  readonly output: boolean;
  readonly errors: boolean;
  /** Of the client's terminal. */
  readonly size?: TerminalSize | undefined;
}

/**
 * Adds a process to the container. It is attached to, and told of a failure to start by a frame, unless it is detached:
 * then the answer comes once it runs, or cannot.
 */
export interface ExecRequest {
  readonly do: 'exec';
  readonly args: readonly string[];
  /** `NAME=VALUE`, beside the container's own. */
  readonly env: readonly string[];
  readonly workdir?: string | undefined;
  readonly user?: string | undefined;
  readonly privileged: boolean;
  /** It is given what the client reads. */
  readonly interactive: boolean;
  readonly terminal: boolean;
  /** Of the client's terminal. */
  readonly size?: TerminalSize | undefined;
  readonly detached: boolean;
}

/** Why a process could not be added to a container, with docker's exit code. */
export interface ExecFailure {
  readonly error: string;
  readonly exitCode?: number;
}

/** The answer to a request: its own members, or why it could not be done. */
export type ControlAnswer = { readonly error: string } | Readonly<Record<string, unknown>>;

/** Name of the socket in a container's directory. */
export const CONTROL_SOCKET = 'control.sock';

/** Longest line of a request; whoever sends more is none of ours. */
export const LONGEST_REQUEST = 64 * 1024;

/** Kinds of frames of an attachment: `[kind u8][length u32, little endian][bytes]`. */
export const FRAME = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  /** The client's standard input has ended. */
  stdinEnd: 3,
  /** To the supervisor: rows and columns of the client's terminal, two u16. */
  resize: 4,
  /** To the client, the last one: the exit code, u32. */
  exit: 5,
  /** To the supervisor: the client goes on purpose. */
  detach: 6,
  /** To the client, the last one: an `ExecFailure`. */
  failure: 7,
} as const;

const HEADER = 5;
/** Longest frame that is taken; what is longer is sent in pieces. */
const LONGEST_FRAME = 1024 * 1024;

export function encodeFrame(kind: number, bytes: Uint8Array = new Uint8Array()): Buffer {
  const header = Buffer.allocUnsafe(HEADER);
  header.writeUInt8(kind, 0);
  header.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([header, bytes]);
}

export function encodeExit(exitCode: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(exitCode);
  return encodeFrame(FRAME.exit, bytes);
}

export function encodeResize({ rows, columns }: TerminalSize): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt16LE(rows, 0);
  bytes.writeUInt16LE(columns, 2);
  return encodeFrame(FRAME.resize, bytes);
}

/** Takes a stream of bytes apart into frames. */
export class FrameReader {
  readonly #receive: (kind: number, bytes: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(receive: (kind: number, bytes: Buffer) => void) {
    this.#receive = receive;
  }

  /** @throws where the stream is none of frames. */
  push(chunk: Buffer): void {
    let rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (rest.length >= HEADER) {
      const length = rest.readUInt32LE(1);
      if (length > LONGEST_FRAME) throw new Error(`a frame of ${length} bytes is too long`);
      if (rest.length < HEADER + length) break;
      this.#receive(rest.readUInt8(0), rest.subarray(HEADER, HEADER + length));
      rest = rest.subarray(HEADER + length);
    }
    this.#rest = rest;
  }
}

/**
 * Reads frames until the connection ends, is cut, or carries something else.
 *
 * @param take where it answers a promise, no more is read before that is settled.
 */
export async function readFrames(
  socket: Socket,
  take: (kind: number, bytes: Buffer) => Promise<unknown> | undefined,
): Promise<void> {
  const waiting: Promise<unknown>[] = [];
  const reader = new FrameReader((kind, bytes) => {
    const behind = take(kind, bytes);
    if (behind !== undefined) waiting.push(behind);
  });
  try {
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      reader.push(chunk as Buffer);
      await Promise.all(waiting.splice(0));
    }
  } catch {
    // The other side is gone, or none of ours: the same as its end.
  }
}
