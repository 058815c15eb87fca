import { closeSync, fstatSync, ftruncateSync, openSync, renameSync, writeSync } from 'node:fs';
import { removeFile } from '../../image/remove-file.ts';

/** What a container writes to. */
export type StreamName = 'stdout' | 'stderr';

/** An entry of a log, as docker's json-file driver writes it, a line each. */
export interface LogEntry {
  /** With the end of its line, unless it has none, or more follows in the next entry. */
  readonly log: string;
  readonly stream: StreamName;
  /** RFC 3339, up to nanoseconds. */
  readonly time: string;
}

export interface JsonLogOptions {
  /** Bytes from which a new file is begun. */
  readonly maxSize: number | undefined;
  /** Files that are kept, the one that is written to included. */
  readonly maxFile: number;
}

// Docker parts longer lines.
const LONGEST_LINE = 16 * 1024;
const NEWLINE = 0x0a;

/** A container's log in the format of docker's json-file driver: the newest file, older ones with `.1`, `.2` ... added. */
export class JsonLog {
  readonly #path: string;
  readonly #options: JsonLogOptions;
  readonly #begun = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  readonly #report: (message: string) => void;
  #fd: number;
  #size: number;
  #failed = false;

  /** @param report told once of what cannot be written: the container goes on without its log. */
  constructor(path: string, options: JsonLogOptions, report: (message: string) => void) {
    this.#path = path;
    this.#options = options;
    this.#report = report;
    this.#fd = openSync(path, 'a', 0o600);
    this.#size = fstatSync(this.#fd).size;
  }

  /** What has no end of its line yet waits for it, for `end`, or for 16 KiB. */
  write(stream: StreamName, chunk: Buffer): void {
    const before = this.#begun[stream];
    let rest = before.length === 0 ? chunk : Buffer.concat([before, chunk]);
    const time = timestamp();
    let text = '';
    for (let length = lineLength(rest); length > 0; length = lineLength(rest)) {
      text += line(stream, rest.subarray(0, length), time);
      rest = rest.subarray(length);
      if (this.#mustRotate(text)) {
        this.#append(text);
        text = '';
      }
    }
    // Its own memory: what is left of a chunk would keep the whole of it.
    this.#begun[stream] = Buffer.from(rest);
    this.#append(text);
  }

  /** Writes what has been begun: the stream has ended. */
  end(stream: StreamName): void {
    const rest = this.#begun[stream];
    this.#begun[stream] = Buffer.alloc(0);
    if (rest.length > 0) this.#append(line(stream, rest, timestamp()));
  }

  close(): void {
    this.end('stdout');
    this.end('stderr');
    closeSync(this.#fd);
  }

  #mustRotate(text: string): boolean {
    const { maxSize } = this.#options;
    return maxSize !== undefined && this.#size + text.length >= maxSize;
  }

  #append(text: string): void {
    if (text === '') return;
    try {
      if (this.#mustRotate('') && this.#size > 0) this.#rotate();
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
      this.#size += bytes.length;
    } catch (error) {
      if (!this.#failed) this.#report(`cannot write to the log ${this.#path}: ${String(error)}`);
      this.#failed = true;
    }
  }

  #rotate(): void {
    const { maxFile } = this.#options;
    this.#size = 0;
    if (maxFile <= 1) {
      ftruncateSync(this.#fd);
      return;
    }
    closeSync(this.#fd);
    try {
      for (let number = maxFile - 2; number >= 0; number -= 1) {
        moveAside(rotatedPath(this.#path, number), rotatedPath(this.#path, number + 1));
      }
    } finally {
      this.#fd = openSync(this.#path, 'a', 0o600);
    }
  }
}

/** The path of an older file of a log; number 0 is the newest. */
export function rotatedPath(path: string, number: number): string {
  return number === 0 ? path : `${path}.${number}`;
}

function moveAside(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    removeFile(to);
  }
}

/** Bytes of what is one entry; 0 where it is not whole. */
function lineLength(bytes: Buffer): number {
  const end = bytes.indexOf(NEWLINE);
  if (end >= 0 && end < LONGEST_LINE) return end + 1;
  return bytes.length < LONGEST_LINE ? 0 : characterBoundary(bytes, LONGEST_LINE);
}

/** At most `limit`, and not within a character of UTF-8. */
function characterBoundary(bytes: Buffer, limit: number): number {
  let at = limit;
  while (at > limit - 4 && ((bytes[at] ?? 0) & 0xc0) === 0x80) at -= 1;
  return at === limit - 4 ? limit : at;
}

function line(stream: StreamName, bytes: Buffer, time: string): string {
  return `${JSON.stringify({ log: bytes.toString('utf8'), stream, time } satisfies LogEntry)}\n`;
}

// A monotonic clock has what is below the millisecond, and the wall's clock may be set.
const CLOCK_TOLERANCE_MILLISECONDS = 20;
let clockOffset: number | undefined;

/** Now, RFC 3339 with microseconds. */
function timestamp(): string {
  const [wall, since] = [Date.now(), performance.now()];
  // Node loads the clock with its first use.
  clockOffset ??= performance.timeOrigin;
  if (Math.abs(clockOffset + since - wall) > CLOCK_TOLERANCE_MILLISECONDS) clockOffset = wall - since;
  const now = clockOffset + since;
  const micros = Math.floor((now % 1) * 1000);
  return `${new Date(now).toISOString().slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}
