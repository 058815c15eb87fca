import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type LogEntry, rotatedPath } from './json-log.ts';

/** Which entries are wanted. */
export interface LogWindow {
  /** The last so many; all without. */
  readonly tail: number | undefined;
  /** Milliseconds since 1970. */
  readonly since: number | undefined;
  readonly until: number | undefined;
}

const CHUNK = 64 * 1024;
const NEWLINE = 0x0a;

/** A container's log, read from where its window begins on, and further as it grows. */
export class LogReader {
  readonly #path: string;
  readonly #window: LogWindow;
  /** The files that are still to be read, the oldest first, the newest included. */
  readonly #older: { readonly fd: number; readonly from: number }[] = [];
  readonly #buffer = Buffer.allocUnsafe(CHUNK);
  #fd: number | undefined;
  #offset = 0;
  #rest: Buffer = Buffer.alloc(0);

  constructor(path: string, window: LogWindow) {
    this.#path = path;
    this.#window = window;
    this.#openAll();
  }

  // The newest first, so that one that is moved aside meanwhile is read twice by none: it is the same file.
  #openAll(): void {
    const seen = new Set<string>();
    let wanted = this.#window.tail ?? Infinity;
    for (let number = 0; wanted > 0 || number === 0; number += 1) {
      const fd = openFile(rotatedPath(this.#path, number));
      if (fd === undefined) break;
      const { dev, ino, size } = fstatSync(fd);
      const isKnown = seen.has(`${dev}:${ino}`);
      seen.add(`${dev}:${ino}`);
      if (isKnown) closeSync(fd);
      else {
        const { from, lines } = wanted === Infinity ? { from: 0, lines: 0 } : this.#lastLines(fd, size, wanted);
        wanted -= lines;
        this.#older.unshift({ fd, from });
      }
    }
    this.#nextFile();
  }

  #nextFile(): boolean {
    const next = this.#older.shift();
    if (next === undefined) return false;
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = next.fd;
    this.#offset = next.from;
    this.#rest = Buffer.alloc(0);
    return true;
  }

  /** Where the last lines of a file begin, and how many they are. */
  #lastLines(fd: number, size: number, wanted: number): { readonly from: number; readonly lines: number } {
    if (wanted === 0) return { from: size, lines: 0 };
    let lines = 0;
    for (let end = size; end > 0;) {
      const begin = Math.max(0, end - CHUNK);
      const length = readSync(fd, this.#buffer, 0, end - begin, begin);
      for (let at = length - 1; at >= 0; at -= 1) {
        // The last line's own end is none before it.
        if (this.#buffer[at] !== NEWLINE || begin + at === size - 1) continue;
        lines += 1;
        if (lines === wanted) return { from: begin + at + 1, lines };
      }
      end = begin;
    }
    return { from: 0, lines: size > 0 ? lines + 1 : 0 };
  }

  /** What there is to read now. */
  *read(): Generator<LogEntry> {
    do {
      yield* this.#readFile();
    } while (this.#nextFile() || this.#followRotation());
  }

  *#readFile(): Generator<LogEntry> {
    if (this.#fd === undefined) return;
    // Emptied in place of being moved aside.
    if (fstatSync(this.#fd).size < this.#offset) this.#offset = 0;
    for (;;) {
      const length = readSync(this.#fd, this.#buffer, 0, CHUNK, this.#offset);
      if (length === 0) return;
      this.#offset += length;
      this.#rest = Buffer.concat([this.#rest, this.#buffer.subarray(0, length)]);
      for (let end = this.#rest.indexOf(NEWLINE); end >= 0; end = this.#rest.indexOf(NEWLINE)) {
        const entry = parseEntry(this.#rest.toString('utf8', 0, end));
        this.#rest = this.#rest.subarray(end + 1);
        if (entry !== undefined && this.#isWanted(entry)) yield entry;
      }
    }
  }

  /** Whether the file that is written to is another one by now: that, and those between, are read next. */
  #followRotation(): boolean {
    const current = this.#fd === undefined ? undefined : fstatSync(this.#fd);
    const newer: number[] = [];
    for (let number = 0; ; number += 1) {
      const fd = openFile(rotatedPath(this.#path, number));
      if (fd === undefined) break;
      const { dev, ino } = fstatSync(fd);
      if (current === undefined || (dev === current.dev && ino === current.ino)) {
        if (current === undefined) newer.unshift(fd);
        else closeSync(fd);
        break;
      }
      newer.unshift(fd);
    }
    this.#older.push(...newer.map((fd) => ({ fd, from: 0 })));
    // What was written to the old one after it was read and before it was moved.
    return newer.length > 0 && (this.#fd !== undefined || this.#nextFile());
  }

  #isWanted({ time }: LogEntry): boolean {
    const { since, until } = this.#window;
    if (since === undefined && until === undefined) return true;
    const moment = Date.parse(time);
    return moment >= (since ?? -Infinity) && moment <= (until ?? Infinity);
  }

  close(): void {
    for (const { fd } of this.#older.splice(0)) closeSync(fd);
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

function openFile(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Undefined for what a machine that failed left of a line. */
function parseEntry(line: string): LogEntry | undefined {
  try {
    const entry = JSON.parse(line) as LogEntry;
    return typeof entry.log === 'string' && typeof entry.time === 'string' ? entry : undefined;
  } catch {
    return undefined;
  }
}
